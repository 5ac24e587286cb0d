"""From a suite to what will run: the model, the benches, the method and the checks, all built and checked first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from faithcheck import plugins
from faithcheck.ablation import Ablation
from faithcheck.bench import Bench
from faithcheck.check import CircuitCheck, MethodCheck
from faithcheck.circuit import Circuit
from faithcheck.errors import UserError, did_you_mean
from faithcheck.gates import Gate
from faithcheck.loading import load_model
from faithcheck.method import Method
from faithcheck.model import Model
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


@dataclass(frozen=True)
class Resolved:
    """Everything a run needs. `circuit` is the finished circuit under test, where there is one."""

    suite: LoadedSuite
    model: Model
    benches: Sequence[Bench]
    method: ResolvedMethod | None
    checks: Sequence[ResolvedCheck]
    seeds: Sequence[int]
    device: str
    circuit: Circuit | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The suite as it was resolved, plain JSON data."""


def check_references(loaded: LoadedSuite, method_ref: str | None = None) -> tuple[list[Task], list[ResolvedCheck]]:
    """Load what a suite names without a model: its tasks and checks; the method is looked up and its parameters built.

    Raises UserError with file and line for an unknown task, check, metric or parameter, or a gate that cannot be read.
    """
    tasks = [_task(loaded, i, ref) for i, ref in enumerate(loaded.suite.tasks)]
    checks = [_check(loaded, entry) for entry in loaded.suite.checks]
    plugins.find("models", loaded.suite.model) if _is_plain(loaded.suite.model) else None
    resolve_method(loaded, method_ref)
    return tasks, checks


def resolve(
    loaded: LoadedSuite,
    *,
    method_ref: str | None = None,
    model_ref: str | None = None,
    circuit: Circuit | None = None,
    device: str = "cpu",
) -> Resolved:
    """Build all that the suite names. Raises UserError for whatever of it is wrong."""
    suite = loaded.suite
    tasks, checks = check_references(loaded, method_ref)
    method = resolve_method(loaded, method_ref or _maker(circuit))
    if method is None and circuit is None:
        raise UserError("the suite names no method: give one with --method, or a circuit with --circuit")
    model = load_model(model_ref or suite.model, device)
    ablation = _ablation(loaded)
    if circuit is not None:
        circuit.check_fits(model)
        tasks = _tasks_of(circuit, tasks)
    benches = [
        Bench(model, task, suite.loss or task.loss, suite.target_loss, ablation, suite.norms) for task in tasks
    ]
    for bench in benches:
        for split in (*bench.task.splits, *bench.task.shifts):
            bench.prompts(split)
    settings = {
        **suite.model_dump(mode="json", exclude={"method"}),
        "model": model_ref or suite.model,
        "tasks": [{"name": bench.task.name, "sha256": bench.task.fingerprint} for bench in benches],
        "checks": [
            {"name": c.check.name, "gates": {metric: gate.text for metric, gate in c.gates.items()}} for c in checks
        ],
    }
    return Resolved(loaded, model, benches, method, checks, range(suite.seeds), device, circuit, settings)


def resolve_method(loaded: LoadedSuite, ref: str | None) -> ResolvedMethod | None:
    """The method `ref`, or the suite's; parameters in the suite apply to the method that the suite names."""
    entry = loaded.suite.method
    if ref is None and entry is None:
        return None
    name = ref or entry.name  # type: ignore[union-attr]
    given = dict(entry.parameters) if entry is not None and (entry.name == name or _all_set(loaded)) else {}
    cls = plugins.load("methods", name, loaded.path.parent)
    parameters = build(
        cls, given, f"method {name}", lambda path, key: loaded.location("method", *path, key=key)
    )
    declares = hasattr(cls, "Parameters")
    method = cls(parameters) if declares else cls()  # type: ignore[operator]
    return ResolvedMethod(name, cast(Method, method), parameters.model_dump(mode="json"))


def _all_set(loaded: LoadedSuite) -> bool:
    """Whether the suite file itself names no method, so that all parameters come from --set."""
    return "method" not in loaded.marked.data


def _maker(circuit: Circuit | None) -> str | None:
    return None if circuit is None else circuit.provenance.get("method", {}).get("name")


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


def _ablation(loaded: LoadedSuite) -> Ablation:
    try:
        return Ablation(loaded.suite.ablation)
    except NotImplementedError as error:
        raise UserError(f"ablation: {error}", loaded.location("ablation")) from None


def _tasks_of(circuit: Circuit, tasks: list[Task]) -> list[Task]:
    """The suite's tasks that the circuit is about: the one of its provenance, or the only one."""
    name = circuit.provenance.get("task")
    if name is None and len(tasks) == 1:
        return tasks
    about = [task for task in tasks if task.name == name]
    if not about:
        known = ", ".join(task.name for task in tasks)
        raise UserError(f"the circuit is about the task {name!r}; the suite has {known}{did_you_mean(str(name), known)}")
    return about


def _is_plain(ref: str) -> bool:
    return ":" not in ref and not ref.endswith(".py")
