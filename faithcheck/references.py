"""What a suite refers to, looked up without a model: tasks, checks with their gates, the method. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from faithcheck.building import build_plugin
from faithcheck.check import CircuitCheck, MethodCheck
from faithcheck.errors import Location, UserError, did_you_mean
from faithcheck.gates import Gate
from faithcheck.loading import find_model
from faithcheck.method import Method
from faithcheck.parameters import Locate, as_data
from faithcheck.suite import CheckEntry, LoadedSuite
from faithcheck.task import Task, load_task


@dataclass(frozen=True)
class ResolvedCheck:
    check: CircuitCheck | MethodCheck
    gates: Mapping[str, Gate]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Those that the check was built with, defaults included."""

    @property
    def is_method_scope(self) -> bool:
        return self.check.scope == "method"


@dataclass(frozen=True)
class ResolvedMethod:
    """A method with the parameters it was built with, defaults included."""

    ref: str
    method: Method
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, ref: str, method: Method, parameters: BaseModel) -> ResolvedMethod:
        return cls(ref, method, as_data(parameters))


@dataclass(frozen=True)
class References:
    """What a suite names, without its model. `method` is None where it names none."""

    tasks: Sequence[Task]
    checks: Sequence[ResolvedCheck]
    method: ResolvedMethod | None


def check_references(loaded: LoadedSuite) -> References:
    """Load what a suite names: its tasks, its checks and its method, built with their parameters. The model is only
    looked up.

    Raises UserError with file and line for an unknown or repeated task or check, an unknown model, method, metric or
    parameter, or a gate that cannot be read. Raises BrokenPlugin where a plugin cannot be imported or built.
    """
    tasks = [_task(loaded, i, ref) for i, ref in enumerate(loaded.suite.tasks)]
    _refuse_repeats("tasks", [task.name for task in tasks], lambda i: loaded.location("tasks", i))
    checks = [_check(loaded, entry) for entry in loaded.suite.checks]
    written = [entry.name for entry in loaded.suite.checks]
    names = [resolved.check.name for resolved in checks]
    _refuse_repeats("checks", names, lambda i: loaded.location("checks", written[i], key=True))
    _find_model(loaded)
    return References(tasks, checks, _method(loaded))


def _method(loaded: LoadedSuite) -> ResolvedMethod | None:
    entry = loaded.suite.method
    if entry is None:
        return None
    with _located(loaded, "method", "name"):
        return build_method(entry.name, entry.parameters, loaded)


def build_method(name: str, given: Mapping[str, Any], loaded: LoadedSuite) -> ResolvedMethod:
    """The method `name` with the parameters given. Raises UserError or BrokenPlugin."""
    built = build_plugin("methods", name, given, loaded.path.parent, _locator(loaded, "method"))
    return ResolvedMethod.of(name, *built)


@contextmanager
def _located(loaded: LoadedSuite, *path: str | int, key: bool = False) -> Iterator[None]:
    """A UserError that does not say where it is gets the place in the suite; none where that is the command line."""
    try:
        yield
    except UserError as error:
        where = loaded.location(*path, key=key)
        if error.location is not None or where.line is None:
            raise
        raise UserError(error.message, where) from None


def _locator(loaded: LoadedSuite, *path: str) -> Locate:
    """Finds what is at a path inside the suite's mapping at `path`."""
    return lambda inside, key: loaded.location(*path, *inside, key=key)


def _find_model(loaded: LoadedSuite) -> None:
    with _located(loaded, "model"):
        find_model(loaded.suite.model)


def _refuse_repeats(what: str, names: Sequence[str], place: Callable[[int], Location]) -> None:
    """Tasks of one name would write the same files; checks, which may be written in two ways and call themselves the
    same, could not be told apart. place: where the one with that number stands."""
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UserError(f"two {what} are called {name!r}", place(number))


def _task(loaded: LoadedSuite, index: int, ref: str) -> Task:
    with _located(loaded, "tasks", index):
        return load_task(ref, loaded.path)


def _check(loaded: LoadedSuite, entry: CheckEntry) -> ResolvedCheck:
    locate = _locator(loaded, "checks", entry.name)
    with _located(loaded, "checks", entry.name, key=True):
        check, parameters = build_plugin("checks", entry.name, entry.parameters, loaded.path.parent, locate)
    return ResolvedCheck(check, _gates(loaded, entry, check), as_data(parameters))


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
