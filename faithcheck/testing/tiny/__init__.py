"""A model, a task and a problem small enough to try laws on in seconds."""
