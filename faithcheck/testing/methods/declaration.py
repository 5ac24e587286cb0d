"""Laws on what a method declares: its name, its docstring, its parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from faithcheck.building import build_class
from faithcheck.errors import UserError
from faithcheck.plugins import BrokenPlugin, one_line
from faithcheck.testing.broken import Broken

UNKNOWN = "no_such_parameter"
_DECLARE = "declare them in a nested `class Parameters(faithcheck.parameters.Parameters)`"


def builds(cls: type, parameters: Mapping[str, Any]) -> Iterator[Broken]:
    """With the parameters given, and defaults for the others."""
    try:
        built, _ = build_class("methods", _named(cls), cls, parameters)
        found = "" if callable(getattr(built, "extract", None)) else "it lacks extract"
    except (UserError, BrokenPlugin, TypeError) as error:
        found = one_line(error)
    if found:
        yield Broken(
            "is built from its parameters",
            f"built {_named(cls)} from {dict(parameters) or 'its defaults'}",
            "an instance with a name and extract",
            found,
            (
                "a parameter without a default is given here: check_method(cls, parameters={...})",
                "__init__ takes one argument, the Parameters, where the class has any; none where it has not",
            ),
        )


def refuses_unknown_parameters(cls: type, parameters: Mapping[str, Any]) -> Iterator[Broken]:
    try:
        build_class("methods", _named(cls), cls, {**parameters, UNKNOWN: 1})
        found = "it was built"
    except UserError as error:
        if UNKNOWN in error.message:
            return
        found = f"an error that does not name it: {one_line(error)}"
    except (BrokenPlugin, TypeError) as error:
        found = one_line(error)
    yield Broken(
        "refuses a parameter that it does not have",
        f"built {_named(cls)} with {UNKNOWN}=1",
        "a UserError that names it",
        found,
        (_DECLARE, 'a pydantic model of your own needs model_config = ConfigDict(extra="forbid")'),
    )


def has_plain_parameters(cls: type, parameters: Mapping[str, Any]) -> Iterator[Broken]:
    """What `result.json` says of the parameters builds the same ones again."""
    try:
        built = build_class("methods", _named(cls), cls, parameters)[1]
        written = json.loads(json.dumps(built.model_dump(mode="json"), allow_nan=False))
        again = build_class("methods", _named(cls), cls, written)[1]
        found = "" if again == built else f"{written} built other ones"
    except Exception as error:  # whatever pydantic or json makes of a strange type
        found = one_line(error)
    if found:
        yield Broken(
            "has parameters that result.json can hold",
            "wrote the parameters as JSON, and built the method from that",
            "the same parameters",
            found,
            ("parameters are numbers, strings, booleans, and tuples of these",),
        )


def says_what_it_is(method: object) -> Iterator[Broken]:
    name, doc = getattr(method, "name", None), type(method).__doc__
    faults = [] if isinstance(name, str) and name.strip() else [f"name is {name!r}"]
    faults += [] if doc and doc.strip() else ["no docstring"]
    if faults:
        yield Broken(
            "says what it is",
            "read the name and the docstring of the class",
            "both, for `faithcheck list` and reports show them",
            " and ".join(faults),
            ('write name = "..." in the class, and below the class line one sentence in quotes',),
        )


def _named(cls: type) -> str:
    name = getattr(cls, "name", None)
    return name if isinstance(name, str) and name else cls.__name__
