"""A plugin's declared parameters as rows of a table."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from faithcheck.show.page import Table

_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}
_LENGTHS = {"min_length": "at least", "max_length": "at most"}


def parameter_tables(plugin: object) -> list[Table]:
    """One table, or none where no parameter is declared."""
    model = getattr(plugin, "Parameters", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or not model.model_fields:
        return []
    rows = [_row(name, field) for name, field in model.model_fields.items()]
    return [Table("parameters", ("name", "type", "default", "allowed", "what it is"), rows)]


def _row(name: str, field: FieldInfo) -> Sequence[str]:
    allowed = ", ".join(_allowed(field.annotation, field.metadata))
    return name, type_name(field.annotation), _default(field), allowed, field.description or ""


def type_name(annotation: Any) -> str:
    """`int`, `tuple[float, ...]`, `'a' or 'b'` of a Literal."""
    if annotation in (None, types.NoneType):
        return "null"
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(inside[0])
    if origin is typing.Literal:
        return " or ".join(map(repr, inside))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(type_name, inside))
    if origin is not None and inside:
        names = ", ".join("..." if part is Ellipsis else type_name(part) for part in inside)
        return f"{getattr(origin, '__name__', origin)}[{names}]"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _default(field: FieldInfo) -> str:
    """As a suite would have it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    return json.dumps(to_jsonable_python(value, fallback=repr), ensure_ascii=False)


def _allowed(annotation: Any, metadata: Sequence[Any]) -> Iterator[str]:
    """What the constraints of a field say, those inside its type among them."""
    for constraint in metadata:
        if isinstance(constraint, FieldInfo):
            yield from _allowed(None, constraint.metadata)
            continue
        for name, sign in _BOUNDS.items():
            if getattr(constraint, name, None) is not None:
                yield f"{sign} {getattr(constraint, name)}"
        for name, words in _LENGTHS.items():
            if getattr(constraint, name, None) is not None:
                yield f"{words} {getattr(constraint, name)} long"
        if getattr(constraint, "pattern", None) is not None:
            yield f"matches {constraint.pattern}"
    for part in typing.get_args(annotation):
        if typing.get_origin(part) is typing.Annotated:
            yield from _allowed(part, part.__metadata__)
