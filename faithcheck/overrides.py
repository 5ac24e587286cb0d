"""`--set KEY=VALUE`: changes laid over a suite before it is validated."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from faithcheck.errors import Location, UserError, did_you_mean
from faithcheck.marked_yaml import KeyPath, parse_value

ALWAYS_RUNS = "sufficiency"
_OPERATORS = ("<", ">", "==")


@dataclass(frozen=True)
class Override:
    """One `--set`: a path as users write it (a check by its name) and the value."""

    path: KeyPath
    value: Any
    location: ClassVar = Location("--set")


def lay_over(
    data: dict[str, Any], texts: Sequence[str], fields: Sequence[str]
) -> tuple[dict[str, Any], tuple[Override, ...]]:
    """A copy of a suite's data, with each `KEY=VALUE` laid over it in turn; `fields` are the keys of a suite.

    Raises:
        UserError: a text without `=`, or a key that leads nowhere in this suite.
    """
    changed = copy.deepcopy(data)
    overrides = []
    for text in texts:
        override = _parse(changed, text, fields)
        _put(changed, override)
        overrides.append(override)
    return changed, tuple(overrides)


def check_name(item: Any) -> str | None:
    """The name of the check that an item of `checks:` stands for; None where it is no check at all."""
    if isinstance(item, dict):
        name = item.get("name", next(iter(item)) if len(item) == 1 else None)
        return name if isinstance(name, str) else None
    return item if isinstance(item, str) else None


def check_index(data: dict[str, Any], name: str) -> int | None:
    """The place of a check in a suite's list as written; None where the suite does not list it."""
    return next((i for i, item in enumerate(_checks(data)) if check_name(item) == name), None)


def _checks(data: dict[str, Any]) -> list[Any]:
    checks = data.get("checks")
    return checks if isinstance(checks, list) else []


def _parse(data: dict[str, Any], text: str, fields: Sequence[str]) -> Override:
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not equals:
        raise UserError("expected KEY=VALUE", Location(f"--set {text}"))
    place = Location(f"--set {key}")
    return Override(_path(data, key, fields, place), _value(raw.strip()))


def _value(raw: str) -> Any:
    if raw.startswith(_OPERATORS):
        return raw
    try:
        return parse_value(raw)
    except UserError:
        return raw


def _path(data: dict[str, Any], key: str, fields: Sequence[str], place: Location) -> KeyPath:
    top, dot, rest = key.partition(".")
    if top not in fields:
        near = did_you_mean(top, fields)
        raise UserError(f"unknown key {top!r}{near or '; allowed: ' + ', '.join(fields)}", place)
    if not dot:
        return (top,)
    if top == "checks":
        return ("checks", *_path_in_check(data, rest, place))
    if top == "method":
        return _path_in_method(data, rest, place)
    raise UserError(f"{top!r} has no keys of its own", place)


def _path_in_method(data: dict[str, Any], rest: str, place: Location) -> KeyPath:
    if not isinstance(data.get("method"), str | dict):
        raise UserError("the suite names no method", place)
    return ("method", *_parts(rest, place))


def _path_in_check(data: dict[str, Any], rest: str, place: Location) -> KeyPath:
    known = [name for name in map(check_name, _checks(data)) if name]
    known += [ALWAYS_RUNS] if isinstance(data.get("checks"), list) else []
    name = max((n for n in known if f"{rest}.".startswith(f"{n}.")), key=len, default=None)
    if name is None:
        word = rest.split(".")[0]
        raise UserError(f"the suite has no check {word!r}{did_you_mean(word, known)}", place)
    path = _parts(rest[len(name) + 1 :], place) if rest != name else ()
    if path[:1] == ("gates",) and len(path) > 2:
        path = ("gates", ".".join(map(str, path[1:])))
    return (name, *path)


def _parts(text: str, place: Location) -> KeyPath:
    parts = tuple(text.split("."))
    if not all(parts):
        raise UserError("the key has an empty part", place)
    return parts


def _put(data: dict[str, Any], override: Override) -> None:
    match override.path:
        case ("checks", str(name), *rest):
            _put_in_check(data, name, rest, override)
        case ("method", *rest) if rest:
            method = data["method"]
            data["method"] = {"name": method} if isinstance(method, str) else method
            _put_inside(data["method"], rest, override)
        case (str(top),):
            data[top] = override.value


def _put_in_check(data: dict[str, Any], name: str, path: Sequence[str | int], override: Override) -> None:
    index = check_index(data, name)
    if index is None:
        data["checks"] = [name, *_checks(data)]
        index = 0
    entry = {name: _body(data["checks"][index])}
    data["checks"][index] = entry
    _put_inside(entry, [name, *path], override)


def _body(item: Any) -> Any:
    """What stands under a check's name: its gates, and its parameters beside them."""
    if not isinstance(item, dict):
        return {}
    if isinstance(item.get("name"), str):
        rest = {key: value for key, value in item.items() if key != "name"}
        parameters = rest.pop("parameters", {})
        return {**rest, **(parameters if isinstance(parameters, dict) else {"parameters": parameters})}
    [body] = item.values()
    return {} if body is None else body


def _put_inside(data: Any, path: Sequence[str | int], override: Override) -> None:
    *parents, last = path
    for part in parents:
        data = data.setdefault(part, {}) if isinstance(data, dict) else None
    if not isinstance(data, dict):
        raise UserError(f"what stands above {last!r} has no keys", override.location)
    data[last] = override.value
