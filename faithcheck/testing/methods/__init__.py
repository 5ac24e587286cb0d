"""The laws of a method."""
