"""Extraction methods in the box."""
