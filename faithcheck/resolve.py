"""From a suite to what will run: the model, the benches, the method and the checks, all built and checked first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faithcheck.ablation import Ablation
from faithcheck.baselines import measured
from faithcheck.bench import Bench
from faithcheck.circuit import Circuit, Norms
from faithcheck.errors import UserError, did_you_mean
from faithcheck.loading import load_model
from faithcheck.method import Budget
from faithcheck.model import Model
from faithcheck.plugins import BrokenPlugin
from faithcheck.references import ResolvedCheck, ResolvedMethod, build_method, check_references
from faithcheck.suite import LoadedSuite
from faithcheck.suite_data import suite_data
from faithcheck.task import Task


@dataclass(frozen=True)
class Resolved:
    """Everything a run needs. `circuit` is the finished circuit under test, where there is one."""

    model: Model
    benches: Sequence[Bench]
    method: ResolvedMethod | None
    checks: Sequence[ResolvedCheck]
    seeds: Sequence[int]
    device: str
    time_limit: float = Budget.seconds
    """Seconds that one extraction, or one check of one circuit, may take."""
    memory: int = Budget.memory
    """Bytes by which a method splits its batches."""
    circuit: Circuit | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The suite as it was resolved, plain JSON data; `name` is the suite's."""


def resolve(
    loaded: LoadedSuite,
    *,
    model_ref: str | None = None,
    model: Model | None = None,
    circuit: Circuit | None = None,
    own_method: bool = True,
    device: str = "cpu",
) -> Resolved:
    """Build all that the suite names.

    model: the suite's, where it is loaded already. own_method: whether a given circuit's extractor is the suite's
    method; else it is that of its provenance.
    Raises UserError or BrokenPlugin for whatever of it is wrong.
    """
    suite = loaded.suite
    named = check_references(loaded)
    tasks, checks = named.tasks, named.checks
    method = named.method if own_method else _maker(circuit, loaded)
    if method is None and circuit is None:
        raise UserError("the suite names no method: give one with --method, or a circuit with --circuit")
    model = model or load_model(model_ref or suite.model, device, loaded.path.parent)
    ablation, norms = Ablation(suite.ablation), suite.norms
    if circuit is not None:
        circuit.check_fits(model)
        tasks = _tasks_of(circuit, tasks)
        ablation, norms = _own_levers(circuit, loaded)
    benches = []
    for task in tasks:
        benches.append(_bench(Bench(model, task, suite.loss or task.loss, suite.target_loss, ablation, norms)))
        if ablation.kind == "mean":
            ablation = benches[0].ablation  # the means are the model's, whatever the task
    model_ref = model_ref or suite.model
    settings = suite_data(loaded, benches, checks, model=model_ref, ablation=ablation.kind, norms=norms)
    return Resolved(
        model=model,
        benches=benches,
        method=method,
        checks=checks,
        seeds=suite.seed_numbers,
        device=device,
        time_limit=suite.time_limit,
        memory=max(1, int(suite.memory * 2**30)),
        circuit=circuit,
        settings=settings,
    )


def _bench(bench: Bench) -> Bench:
    """With every prompt encoded, and the means of the ablation measured where it needs any and has none."""
    for split in (*bench.task.splits, *bench.task.shifts):
        bench.prompts(split)
    if bench.ablation.means is None:
        bench.ablation = measured(bench.ablation, bench.model, bench.prompts("train"))
    return bench


def _maker(circuit: Circuit | None, loaded: LoadedSuite) -> ResolvedMethod | None:
    """The method of a circuit's provenance with its parameters; None where it names none that can be had here."""
    made_by = circuit.provenance.get("method") if circuit is not None else None
    if any(override.path[0] == "method" for override in loaded.overrides):
        raise UserError("--set method.* says nothing of a given circuit's extractor: name it with --method")
    try:
        if ".py" in made_by["name"]:  # type: ignore[index]
            return None  # a circuit file does not get to say what code is run
        return build_method(made_by["name"], made_by["parameters"], loaded)  # type: ignore[index]
    except (UserError, BrokenPlugin, TypeError, KeyError, AttributeError):
        return None


def _own_levers(circuit: Circuit, loaded: LoadedSuite) -> tuple[Ablation, Norms]:
    """The ablation and the norms that a given circuit was found with, under which it is tested; so is its extractor."""
    for what, own in (("ablation", circuit.ablation.kind), ("norms", circuit.norms)):
        for override in loaded.overrides:
            if override.path == (what,) and override.value != own:
                raise UserError(
                    f"the circuit was found under {own} {what} and is tested under its own, not under {override.value}",
                    override.location,
                )
    return circuit.ablation, circuit.norms


def _tasks_of(circuit: Circuit, tasks: Sequence[Task]) -> Sequence[Task]:
    """The suite's tasks that the circuit is about: the one of its provenance, or the only one."""
    name = circuit.provenance.get("task")
    if name is None and len(tasks) == 1:
        return tasks
    about = [task for task in tasks if task.name == name]
    if about:
        return about
    known = [task.name for task in tasks]
    what = "does not say which task it is about" if name is None else f"is about the task {name!r}"
    raise UserError(f"the circuit {what}; the suite has {', '.join(known)}{did_you_mean(str(name), known)}")
