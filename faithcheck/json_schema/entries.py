"""The schema of a suite's checks and method, whose keys are those that installed plugins declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from faithcheck import plugins
from faithcheck.parameters import Parameters

Json = dict[str, Any]
_GATE: Json = {
    "type": "string",
    "pattern": r"^\s*(<=|>=|<|>|==)\s*\S",
    "description": "OP NUMBER, or OP NAME + NUMBER, such as '<= 0.1' or '<= target_loss + 0.1'",
}
_TEXT: Json = {"type": "string", "minLength": 1}
_GATES = "{METRIC: GATE}: gates in the place of the check's own, which hold for the metrics that are not named"


def reference(names: Sequence[str]) -> Json:
    """One of the names, which an editor offers; or any other text."""
    return {"anyOf": [{"enum": list(names)}, _TEXT]}


def known_checks() -> Mapping[str, Any]:
    return _known("checks")


def _known(group: str) -> Mapping[str, Any]:
    """{name: class} of the plugins of a group that can be imported; the first of each name."""
    found: dict[str, Any] = {}
    for entry in plugins.names(group):
        try:
            found.setdefault(entry.name, plugins.load(group, str(entry)))
        except plugins.BrokenPlugin:
            continue
    return found


def check_entry(description: str) -> Json:
    """An item of `checks`: NAME, {NAME: {gates: ..., PARAMETER: ...}} or {name: NAME, gates: ..., parameters: ...}."""
    known = known_checks()
    gates = {"type": "object", "additionalProperties": _GATE, "description": _GATES}
    parameters = {"type": "object", "description": "{PARAMETER: VALUE}"}
    other = {"type": ["object", "null"], "properties": {"gates": gates}}
    by_name = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {name: _check_body(check) for name, check in known.items()},
        "additionalProperties": other,
    }
    name = {**reference(list(known)), "description": "The check: a name, PACKAGE/NAME or path/to/file.py:NAME"}
    keys = {"name": name, "gates": gates, "parameters": parameters}
    flat = {"type": "object", "properties": keys, "required": ["name"], "additionalProperties": False}
    return {"description": description, "anyOf": [*reference(list(known))["anyOf"], by_name, flat]}


def _check_body(check: Any) -> Json:
    gates = {metric: {**_GATE, "default": gate} for metric, gate in check.gates.items()}
    keys = {"gates": {"type": "object", "properties": gates, "additionalProperties": False, "description": _GATES}}
    return {
        "type": ["object", "null"],
        "description": check.question,
        "properties": {**_parameters(check), **keys},
        "additionalProperties": False,
    }


def method_entry(description: str) -> Json:
    """`method`: NAME, or {name: NAME, PARAMETER: VALUE}."""
    known = _known("methods")
    name = {**reference(list(known)), "description": "The method: a name, PACKAGE/NAME or path/to/file.py:NAME"}
    with_parameters = {
        "type": "object",
        "properties": {"name": name},
        "required": ["name"],
        "allOf": [_if_named(name, method) for name, method in known.items()],
    }
    return {"description": description, "anyOf": [*reference(list(known))["anyOf"], with_parameters]}


def _if_named(name: str, method: Any) -> Json:
    keys = {**_parameters(method), "parameters": {"type": "object", "description": "{PARAMETER: VALUE}"}}
    is_named = {"properties": {"name": {"const": name}}, "required": ["name"]}
    return {"if": is_named, "then": {"properties": {"name": True, **keys}, "additionalProperties": False}}


def _parameters(plugin: Any) -> Json:
    """{parameter: schema} of what a plugin declares. A parameter of a type of its own is described, not checked."""
    model = getattr(plugin, "Parameters", Parameters)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return {}
    made = model.model_json_schema()
    keys = made.get("properties", {})
    return {name: _plain(schema) for name, schema in keys.items()}


def _plain(schema: Json) -> Json:
    """A parameter's schema without its title; what needs definitions of its own is left open."""
    if "$ref" in str(schema):
        return {"description": schema.get("description", "")}
    return {key: value for key, value in schema.items() if key != "title"}
