"""Parameters that a plugin declares: a nested `class Parameters(faithcheck.parameters.Parameters)`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_jsonable_python

from faithcheck.errors import Location, UserError
from faithcheck.marked_yaml import KeyPath
from faithcheck.reasons import refusal
from faithcheck.schema_errors import Source, explain

Locate = Callable[[KeyPath, bool], Location | None]


class Parameters(BaseModel):
    """Base of every plugin's parameters: immutable, types taken strictly, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def build(plugin: object, given: Mapping[str, Any], where: str, locate: Locate = lambda path, key: None) -> BaseModel:
    """A plugin's parameters from what a suite gives; a plugin that declares none takes none.

    `where` says which plugin this is, as in `method sparse_prune`; `locate` finds the value (or key) at a
    path inside `given`. Values are taken as JSON has them, so that a list can become a tuple.

    Raises:
        UserError: an unknown, missing or unsuitable parameter; all are reported at once.
        TypeError: the plugin's `Parameters` is no pydantic model.
    """
    model = getattr(plugin, "Parameters", Parameters)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{where}: Parameters must be a class derived from faithcheck.parameters.Parameters")
    try:
        return model.model_validate_json(_as_json(given, where))
    except ValidationError as error:
        source = Source(
            value=lambda loc: locate(loc, False),
            key=lambda loc: locate(loc, True),
            path=lambda loc: (where, *loc),
        )
        raise refusal(explain(error, model, source)) from None


def as_data(parameters: BaseModel) -> dict[str, Any]:
    """Parameters as JSON has them. What it has no form for, which only a default can be, stands as text: a number that
    is not finite by its name, any other thing by its type's."""
    plain = to_jsonable_python(parameters, fallback=lambda odd: type(odd).__name__)
    data: dict[str, Any] = json.loads(json.dumps(plain), parse_constant=str)
    return data


def _as_json(given: Mapping[str, Any], where: str) -> str:
    try:
        return json.dumps(dict(given), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: parameters must be plain and finite values ({error})") from None
