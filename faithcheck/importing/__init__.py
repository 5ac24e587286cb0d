"""Circuits that others publish, read as circuits of a model. One module a format; files are told apart by content."""
