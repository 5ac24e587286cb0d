"""The checks: one question about a circuit or a method in each file."""
