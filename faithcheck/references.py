"""What a suite refers to, looked up without a model: tasks, checks with their gates, the method. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from faithcheck import plugins
from faithcheck.check import CircuitCheck, MethodCheck
from faithcheck.errors import UserError, did_you_mean
from faithcheck.gates import Gate
from faithcheck.method import Method
from faithcheck.parameters import build
from faithcheck.suite import CheckEntry, LoadedSuite
from faithcheck.task import Task, load_task


@dataclass(frozen=True)
class ResolvedCheck:
    check: CircuitCheck | MethodCheck
    gates: Mapping[str, Gate]

    @property
    def is_method_scope(self) -> bool:
        return self.check.scope == "method"


@dataclass(frozen=True)
class ResolvedMethod:
    """A method with the parameters it was built with, defaults included."""

    ref: str
    method: Method
    parameters: Mapping[str, Any]


def check_references(loaded: LoadedSuite, method_ref: str | None = None) -> tuple[list[Task], list[ResolvedCheck]]:
    """Load what a suite names without a model: its tasks and checks; the method is looked up and its parameters built.

    Raises UserError with file and line for an unknown task, check, metric or parameter, or a gate that cannot be read.
    """
    tasks = [_task(loaded, i, ref) for i, ref in enumerate(loaded.suite.tasks)]
    checks = [_check(loaded, entry) for entry in loaded.suite.checks]
    _find_model(loaded)
    resolve_method(loaded, method_ref)
    return tasks, checks


def _find_model(loaded: LoadedSuite) -> None:
    if ":" not in loaded.suite.model:
        try:
            plugins.find("models", loaded.suite.model)
        except UserError as error:
            raise UserError(error.message, loaded.location("model")) from None


def resolve_method(loaded: LoadedSuite, ref: str | None) -> ResolvedMethod | None:
    """The method `ref`, or the suite's; parameters in the suite apply to the method that the suite names."""
    entry = loaded.suite.method
    if ref is None and entry is None:
        return None
    name = ref or entry.name  # type: ignore[union-attr]
    given = dict(entry.parameters) if entry is not None and (entry.name == name or _all_set(loaded)) else {}
    cls = plugins.load("methods", name, loaded.path.parent)
    parameters = build(cls, given, f"method {name}", lambda path, key: loaded.location("method", *path, key=key))
    declares = hasattr(cls, "Parameters")
    method = cls(parameters) if declares else cls()  # type: ignore[operator]
    return ResolvedMethod(name, cast(Method, method), parameters.model_dump(mode="json"))


def _all_set(loaded: LoadedSuite) -> bool:
    """Whether the suite file itself names no method, so that all parameters come from --set."""
    return "method" not in loaded.marked.data


def _task(loaded: LoadedSuite, index: int, ref: str) -> Task:
    try:
        return load_task(ref, loaded.path)
    except UserError as error:
        if error.location is not None:
            raise
        raise UserError(error.message, loaded.location("tasks", index)) from None


def _check(loaded: LoadedSuite, entry: CheckEntry) -> ResolvedCheck:
    try:
        cls = plugins.load("checks", entry.name, loaded.path.parent)
    except UserError as error:
        raise UserError(error.message, loaded.location("checks", entry.name, key=True)) from None
    parameters = build(
        cls,
        entry.parameters,
        f"check {entry.name}",
        lambda path, key: loaded.location("checks", entry.name, *path, key=key),
    )
    check = cls(parameters) if hasattr(cls, "Parameters") else cls()  # type: ignore[operator]
    return ResolvedCheck(check, _gates(loaded, entry, check))


def _gates(loaded: LoadedSuite, entry: CheckEntry, check: CircuitCheck | MethodCheck) -> dict[str, Gate]:
    gates = {}
    for metric in entry.gates:
        if metric not in check.gates:
            known = ", ".join(check.gates)
            raise UserError(
                f"check {entry.name} has no gated metric {metric!r}; it has {known}{did_you_mean(metric, check.gates)}",
                loaded.location("checks", entry.name, "gates", metric, key=True),
            )
    for metric, text in {**check.gates, **entry.gates}.items():
        try:
            gates[metric] = Gate.parse(text, target_loss=loaded.suite.target_loss)
        except ValueError as error:
            where = loaded.location("checks", entry.name, "gates", metric)
            raise UserError(f"checks.{entry.name}.gates.{metric}: {error}", where) from None
    return gates
