"""What pydantic refuses, said in the user's words: where, which key, what was found, what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from faithcheck.errors import Location, did_you_mean
from faithcheck.marked_yaml import KeyPath, Marked
from faithcheck.reasons import Reason, dotted


@dataclass(frozen=True)
class Source:
    """How to speak of a place in validated data: its line in the file, and the path that the user knows."""

    value: Callable[[KeyPath], Location | None]
    key: Callable[[KeyPath], Location | None]
    path: Callable[[KeyPath], KeyPath] = tuple

    @classmethod
    def of(cls, marked: Marked) -> Source:
        return cls(marked.mark, marked.key_mark)


def explain(error: ValidationError, model: type[BaseModel], source: Source) -> list[Reason]:
    """Each error of `error`, which came from validating data against `model`, as a reason.

    A missing key that another key is a misspelling of is not reported beside it.
    """
    details = error.errors(include_url=False)
    unknown = [detail["loc"] for detail in details if detail["type"] == "extra_forbidden"]
    return [
        _reason(detail, model, source)
        for detail in details
        if detail["type"] != "missing" or not _is_misspelt(detail["loc"], unknown)
    ]


def show(value: object) -> str:
    """A value as found in a YAML file, short enough for one line."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    if isinstance(value, dict | list):
        return f"{'keys and values' if isinstance(value, dict) else 'a list'}{'' if value else ' (empty)'}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _reason(detail: Any, model: type[BaseModel], source: Source) -> Reason:
    loc: KeyPath = detail["loc"]
    path = dotted(source.path(loc))
    if detail["type"] == "missing":
        return Reason(f"{path}: missing", source.value(loc[:-1]))
    if detail["type"] == "extra_forbidden":
        return Reason(f"{path}: unknown key; {_allowed_keys(model, loc)}", source.key(loc))
    prefix = f"{path}: " if path else ""
    if detail["type"] in ("value_error", "assertion_error"):
        return Reason(f"{prefix}{detail['ctx']['error']}", source.value(loc))
    found = detail["input"]
    near = did_you_mean(found, _choices(detail)) if isinstance(found, str) else ""
    return Reason(f"{prefix}found {show(found)}; allowed: {_allowed(detail)}{near}", source.value(loc))


def _is_misspelt(missing: KeyPath, unknown: Iterable[KeyPath]) -> bool:
    return any(loc[:-1] == missing[:-1] and did_you_mean(str(loc[-1]), [str(missing[-1])]) for loc in unknown)


def _allowed_keys(model: type[BaseModel], loc: KeyPath) -> str:
    fields = list(_fields_at(model, loc[:-1]))
    return f"allowed: {', '.join(fields) or 'none'}{did_you_mean(str(loc[-1]), fields)}"


_ALLOWED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "too_short": "{min_length} or more",
    "too_long": "{max_length} or fewer",
    "string_too_short": "text of {min_length} characters or more",
    "string_pattern_mismatch": "text that matches {pattern}",
}


def _allowed(detail: Any) -> str:
    words = _ALLOWED.get(detail["type"])
    if words is None:
        return str(detail["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return words.format(**detail.get("ctx", {}))


def _choices(detail: Any) -> list[str]:
    expected = str(detail.get("ctx", {}).get("expected", ""))
    return [word.strip("'") for word in expected.replace(" or ", ", ").split(", ") if word]


def _fields_at(model: type[BaseModel], loc: KeyPath) -> Iterable[str]:
    """The field names of the model that `loc` leads to, inside `model`."""
    place: Any = model
    for part in loc:
        place = _inside(_bare(place), part)
    place = _bare(place)
    return place.model_fields if _is_model(place) else ()


def _inside(place: Any, part: str | int) -> Any:
    if _is_model(place):
        found = place.model_fields.get(str(part))
        return found.annotation if found else None
    arguments = [a for a in get_args(place) if a is not Ellipsis]
    return arguments[-1] if arguments else None


def _bare(place: Any) -> Any:
    """The type without `Annotated` and without `| None`."""
    while True:
        if get_origin(place) is Annotated:
            place = get_args(place)[0]
        elif get_origin(place) in (Union, UnionType):
            place = next(a for a in get_args(place) if a is not type(None))
        else:
            return place


def _is_model(place: Any) -> bool:
    return isinstance(place, type) and issubclass(place, BaseModel)
