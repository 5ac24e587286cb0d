"""Prints the JSON Schema of one kind of file."""

from __future__ import annotations

import json

from faithcheck.json_schema.documents import document


def schema(kind: str) -> int:
    """Print the schema of a suite, task, claim or result. Returns the exit code."""
    print(json.dumps(document(kind), indent=1))  # noqa: T201
    return 0
