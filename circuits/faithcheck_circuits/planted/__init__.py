"""Planted models: transformers whose weights are written so that the circuit that does the task is known."""
