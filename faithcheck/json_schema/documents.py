"""A JSON Schema for each kind of file: what pydantic makes of our models, and what only YAML and plugins know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from faithcheck import plugins
from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.claims.claim import Claim
from faithcheck.json_schema.entries import Json, check_entry, known_checks, method_entry, reference
from faithcheck.result_schema import ResultData
from faithcheck.suite import Suite
from faithcheck.task_spec import TaskSpec

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def document(kind: str) -> Json:
    """The schema of a `suite`, `task`, `claim` or `result`, with a description of every key.

    Unknown keys are refused, but in a result, where a later version may add some. Known names are offered, others
    allowed: they may be paths, or of packages that are not installed here. Nothing can be said here of what a name
    leads to, or of whether a task makes sense: that `faithcheck validate` checks.
    """
    model, finish = _KINDS[kind]
    made = model.model_json_schema(schema_generator=_Untitled)
    finish(made)
    return {"$schema": DRAFT, **_in_one_line(made), "title": f"faithcheck {kind}"}


def _in_one_line(part: Any) -> Any:
    """Descriptions without the line breaks of our source."""
    if isinstance(part, list):
        return [_in_one_line(item) for item in part]
    if not isinstance(part, dict):
        return part
    joined = {key: _in_one_line(value) for key, value in part.items()}
    if isinstance(joined.get("description"), str):
        joined["description"] = " ".join(joined["description"].split())
    return joined


class _Untitled(GenerateJsonSchema):
    """No titles, which would only repeat the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def get_title_from_name(self, name: str) -> str:
        return name


def _suite(made: Json) -> None:
    keys = made["properties"]
    _offer(keys["model"], [entry.name for entry in plugins.names("models")])
    _offer(keys["tasks"]["items"], yaml_names(bundled_dir() / "tasks"))
    keys["tasks"]["uniqueItems"] = keys["checks"]["uniqueItems"] = True
    keys["seeds"]["anyOf"][1] |= {"minItems": 1, "uniqueItems": True}
    made["$defs"]["CheckEntry"] = check_entry(made["$defs"]["CheckEntry"]["description"])
    made["$defs"]["MethodEntry"] = method_entry(made["$defs"]["MethodEntry"]["description"])


def _claim(made: Json) -> None:
    keys = made["properties"]
    _offer(keys["model"], [entry.name for entry in plugins.names("models")])
    _offer(keys["task"], yaml_names(bundled_dir() / "tasks"))
    _offer(keys["suite"], yaml_names(bundled_dir()))
    verdict = keys["verdicts"]["additionalProperties"]
    keys["verdicts"]["properties"] = {
        name: {**verdict, "description": check.question} for name, check in known_checks().items()
    }


def _as_it_is(made: Json) -> None:
    pass


def _offer(schema: Json, names: list[str]) -> None:
    """Offer known names in the place of a text; other texts stay allowed."""
    for key in ("type", "minLength"):
        schema.pop(key)
    schema |= reference(names)


_KINDS: Mapping[str, tuple[type[BaseModel], Callable[[Json], None]]] = {
    "suite": (Suite, _suite),
    "task": (TaskSpec, _as_it_is),
    "claim": (Claim, _claim),
    "result": (ResultData, _as_it_is),
}
KINDS = tuple(_KINDS)
