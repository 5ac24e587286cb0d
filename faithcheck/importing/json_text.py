"""JSON in which no key of an object may come twice."""

from __future__ import annotations

import json
from typing import Any

from faithcheck.errors import UserError


def load_json(text: str) -> Any:
    """The data of a JSON text. Raises UserError for what is no JSON, or holds a key twice in one object."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise UserError("not JSON that can be read: brackets in brackets, too deep") from None
    except ValueError as error:
        raise UserError(f"not JSON that can be read: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise UserError(f"{key!r} comes twice in one JSON object")
        found[key] = value
    return found
