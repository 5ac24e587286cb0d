"""The families and checks of a calibration: found by name, and built where they are run. No torch here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from faithcheck import plugins
from faithcheck.building import build_plugin, of_plugin
from faithcheck.check import CircuitCheck, MethodCheck
from faithcheck.errors import UserError
from faithcheck.gates import Gate
from faithcheck.planted import Family
from faithcheck.references import ResolvedMethod


@dataclass(frozen=True)
class FamilyEntry:
    """A family by reference, with what it declares."""

    ref: str
    name: str
    exercises: tuple[str, ...]
    method_scope: bool
    decoy_method: tuple[str, Mapping[str, Any]] | None

    def runs(self, check: CheckEntry) -> bool:
        """Whether a check is run on this family."""
        return self.method_scope or not check.is_method_scope


@dataclass(frozen=True)
class CheckEntry:
    """A check by reference, with what it declares; `gates` are its default gates by metric."""

    ref: str
    name: str
    is_method_scope: bool
    gates: Mapping[str, str]


def find_families(refs: Sequence[str] | None) -> list[FamilyEntry]:
    """The families named, or all that are installed.

    Raises UserError for an unknown or repeated one, or where there is none; BrokenPlugin where one cannot be built.
    """
    families = []
    for ref in _all("families") if refs is None else dict.fromkeys(refs):
        family = load_family(ref)
        with of_plugin(ref):
            families.append(_declared(ref, family))
    if not families:
        raise UserError("no family of planted models is installed; name one with --family path/to/file.py:Class")
    _refuse_repeats("families", families)
    return families


def find_checks(refs: Sequence[str] | None) -> list[CheckEntry]:
    """The checks named, or all that are installed. Raises as `find_families` does."""
    checks = []
    for ref in _all("checks") if refs is None else dict.fromkeys(refs):
        check = load_check(ref)
        with of_plugin(ref):
            entry = CheckEntry(ref, check.name, check.scope == "method", dict(check.gates))
            for text in entry.gates.values():
                Gate.parse(text, target_loss=0.0)
        checks.append(entry)
    _refuse_repeats("checks", checks)
    return checks


def load_family(ref: str) -> Family:
    """A family. Raises as `find_families` does."""
    family: Family = build_plugin("families", ref, {})[0]
    return family


def _declared(ref: str, family: Family) -> FamilyEntry:
    """Raises where the family declares something else than the protocol asks for."""
    exercises, decoy = family.exercises, family.decoy_method
    if not family.name:
        raise TypeError(f"`name` is {family.name!r}, which is no name")
    if not isinstance(exercises, list | tuple) or not all(isinstance(check, str) for check in exercises):
        raise TypeError("`exercises` is a list of names of checks, or a tuple")
    if decoy is not None:
        name, parameters = decoy
        if not isinstance(name, str):
            raise TypeError("`decoy_method` is a name and parameters")
        decoy = name, json.loads(json.dumps(dict(parameters), allow_nan=False))
    return FamilyEntry(ref, family.name, tuple(exercises), bool(family.method_scope), decoy)


def load_check(ref: str) -> CircuitCheck | MethodCheck:
    """A check with its default parameters."""
    check: CircuitCheck | MethodCheck = build_plugin("checks", ref, {})[0]
    return check


def load_method(ref: str, given: Mapping[str, Any]) -> ResolvedMethod:
    return ResolvedMethod.of(ref, *build_plugin("methods", ref, given))


def _all(group: str) -> list[str]:
    return [str(entry) for entry in plugins.names(group)]


def _refuse_repeats(what: str, entries: Sequence[FamilyEntry] | Sequence[CheckEntry]) -> None:
    """Two of one name could not be told apart in the tables."""
    names = [entry.name for entry in entries]
    for place, name in enumerate(names):
        if name in names[:place]:
            first, second = entries[names.index(name)].ref, entries[place].ref
            raise UserError(f"two {what} are called {name!r}: {first} and {second}")
