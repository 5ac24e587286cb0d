"""The laws of a model."""
