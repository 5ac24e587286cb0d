"""From problems to circuits: the method's scores, how they are cut, and what the controls come to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from faithcheck.asking import lost
from faithcheck.baselines import measured
from faithcheck.bench import Bench
from faithcheck.check import Control, Measurement, MethodCheck, Trial
from faithcheck.circuit import Circuit, NodeScores
from faithcheck.cutting import Cut, Cutter
from faithcheck.errors import NotSupported
from faithcheck.events import CircuitFound, Event
from faithcheck.judging import Finding
from faithcheck.keys import case_key
from faithcheck.lent import Lent
from faithcheck.losses import LossKind
from faithcheck.memory import out_of_memory
from faithcheck.method import Budget, Problem, extract_many
from faithcheck.plain_errors import plain_errors
from faithcheck.plugins import one_line
from faithcheck.portrait import portrait
from faithcheck.resolve import Resolved
from faithcheck.subject import Subject
from faithcheck.task_state import TaskState, behaviour, crash
from faithcheck.time_limit import at_most
from faithcheck.untouched import changed, of_problem, same


@dataclass(frozen=True)
class Extraction:
    """A problem for the method, and how the scores that it returns are cut: on the same model, answers and loss."""

    problem: Problem
    cutter: Cutter


def extract(run: Resolved, state: TaskState, seeds: Sequence[int]) -> tuple[list[Event], str]:
    """Run the method on the task and on these seeds' controls; cut circuits from what it returns."""
    if state.broken is not None:
        return [], "skipped: an earlier extraction failed"
    if state.lost is not None:
        return [], f"skipped: {state.lost.reason}"
    events: list[Event] = []
    try:
        with plain_errors():
            return events, _extract_and_cut(run, state, seeds, events)
    except Exception as error:
        what = f"the method failed on {named(seeds)}"
        if out_of_memory(error):
            gib = run.memory / 2**30
            what += f", seemingly out of memory (lower the suite's memory of {gib:g} GiB, or a parameter such as batch)"
        state.broken = crash("", state.bench.task.name, what, error)
        return events, state.broken.reason


def _extract_and_cut(run: Resolved, state: TaskState, seeds: Sequence[int], events: list[Event]) -> str:
    """All problems of these seeds in one call of the method; then, seed by seed, what its scores come to.

    The circuits are added to `events` as they are cut.
    """
    asked = [_asked(run, state, seed) for seed in seeds]
    if state.lost is not None:
        return f"skipped: {state.lost.reason}"
    found = iter(
        _scores(run, state, [e.problem for own, controls in asked for e in (*own, *(c for *_, c in controls))])
    )
    outcomes = []
    for seed, (own, controls) in zip(seeds, asked, strict=True):
        with at_most(run.time_limit * (len(own) + len(controls)), "the model, while circuits were cut,"):
            scores = [next(found) for _ in own]
            cuts = [extraction.cutter.cut(s) for extraction, s in zip(own, scores, strict=True)]
            for check, control, extraction in controls:
                _tried(state, check, control, cuts[-1], extraction.cutter, next(found))
            if run.circuit is None:
                events.append(_found(run, state, seed, cuts[0], scores[0]))
                outcomes.append(cuts[0])
    return _outcome(outcomes) if outcomes else "extracted for the controls"


def _asked(
    run: Resolved, state: TaskState, seed: int
) -> tuple[list[Extraction], list[tuple[str, Control, Extraction]]]:
    """The task's own extraction, unless a circuit was given; the task under the controls' loss, last; the controls."""
    bench, controls = state.bench, _controls_of(run, state, seed)
    losses: list[LossKind] = [bench.loss] if run.circuit is None else []
    if controls and "full" not in losses:
        losses.append("full")
    own = [_extraction(run, bench, seed, loss) for loss in losses]
    return own, [(check, control, _extraction(run, bench, seed, "full", control)) for check, control in controls]


def _tried(state: TaskState, check: str, control: Control, real: Cut, cutter: Cutter, scores: NodeScores) -> None:
    cut = cutter.cut(scores)
    flattened = scores.convergence is not None and scores.convergence.flattened
    state.trials.setdefault(check, []).append(Trial(control, real, cut, flattened and math.isfinite(cut.loss)))


def _outcome(cuts: Sequence[Cut]) -> str:
    """`23 nodes, loss 0.12`; of several circuits their sizes."""
    if len(cuts) == 1:
        [cut] = cuts
        return f"{cut.size} nodes, {'' if cut.reached else 'target not reached, '}loss {cut.loss:.3f}"
    missed = sum(not cut.reached for cut in cuts)
    sizes = ", ".join(str(cut.size) for cut in cuts)
    return f"{sizes} nodes" + (f", target not reached by {missed}" if missed else "")


def _scores(run: Resolved, state: TaskState, problems: Sequence[Problem]) -> list[NodeScores]:
    """What the method returns; RuntimeError where it changed a model or a problem, ValueError where it returns too few
    or many."""
    assert run.method is not None
    bench, lent = state.bench, [problem.model for problem in problems if problem.model is not state.bench.model]
    before, given = [behaviour(bench, model) for model in lent], [of_problem(problem) for problem in problems]
    state.changed = True  # until it is known, also where the method or the model raises
    try:
        with at_most(run.time_limit * len(problems), "the method"):
            found = extract_many(run.method.method, problems)
    finally:
        edited = [
            what for was, problem in zip(given, problems, strict=True) for what in changed(was, of_problem(problem))
        ]
        state.changed = bool(edited) or not same(behaviour(bench, bench.model), state.behaviour)
    if edited:
        raise RuntimeError(
            f"the method changed problem.{edited[0]}, which it was given; nothing after it can be judged"
        )
    if state.changed:
        raise RuntimeError("the method changed the model that it was given; nothing after it can be judged")
    if not all(same(behaviour(bench, model), was) for model, was in zip(lent, before, strict=True)):
        raise RuntimeError("the method changed the model of a control that it was given")
    if len(found) != len(problems):
        raise ValueError(f"the method returned {len(found)} scores for {len(problems)} problems")
    for scores in found:
        if not isinstance(scores, NodeScores):
            raise TypeError(f"the method returned a {type(scores).__name__}, not NodeScores")
    return found


def _found(run: Resolved, state: TaskState, seed: int, cut: Cut, scores: NodeScores) -> CircuitFound:
    bench = state.bench
    assert run.method is not None
    provenance = {
        "model": run.model.name,
        "fingerprint": run.model.fingerprint,
        "task": bench.task.name,
        "task_sha256": bench.task.fingerprint,
        "seed": seed,
        "method": {"name": run.method.ref, "parameters": dict(run.method.parameters)},
        "loss": bench.loss,
        "target_loss": bench.target_loss,
        "reached": cut.reached,
    }
    circuit = replace(cut.circuit, provenance=provenance)
    subject = Subject(bench, circuit, seed, cut, scores)
    state.subjects.append(subject)
    return circuit_found(subject, cut.loss, case_key(run, bench.task.name, "extract", seed))


def circuit_found(subject: Subject, loss: float, key: str) -> CircuitFound:
    """The event of a circuit under test. That it cannot be drawn is no reason not to test it."""
    bench, circuit = subject.bench, subject.circuit
    found = CircuitFound(bench.task.name, subject.seed, circuit, _edges(bench, circuit), loss, subject.reached, key)
    try:
        return replace(found, evidence=portrait(subject))
    except Exception as error:
        return replace(found, undrawn=one_line(error))


def _controls_of(run: Resolved, state: TaskState, seed: int) -> list[tuple[str, Control]]:
    """The controls of this seed that method-scope checks ask for, by check."""
    wanted = []
    for resolved in run.checks:
        if resolved.is_method_scope:
            check = cast(MethodCheck, resolved.check)
            if check.name not in state.controls:
                state.controls[check.name] = _ask_for_controls(run, state, check)
            controls = state.controls[check.name]
            if not isinstance(controls, Measurement | Finding):
                wanted += [(check.name, control) for control in controls if control.seed == seed]
    return wanted


def _ask_for_controls(run: Resolved, state: TaskState, check: MethodCheck) -> Sequence[Control] | Measurement | Finding:
    """The check's controls, why there are none, or the ERROR that asking for them came to."""
    lent, name = Lent(state.bench, state.subjects), check.name
    found: Sequence[Control] | Measurement | Finding
    try:
        with plain_errors(), at_most(run.time_limit, f"the check {name}"):
            found = check.controls(state.bench, list(run.seeds))
    except NotSupported as error:
        found = Measurement(not_applicable=str(error))
    except Exception as error:
        found = crash(name, state.bench.task.name, f"the check {name} crashed", error)
    return lost(run, state, name, lent) or found


def _extraction(run: Resolved, bench: Bench, seed: int, loss: LossKind, control: Control | None = None) -> Extraction:
    """The task's own, or with what a control puts in the place of the task's answers or model."""
    model, train, validation = bench.model, bench.prompts("train"), bench.prompts("validation")
    ablation = bench.ablation
    if control is not None and control.model is not None:
        model = control.model
        ablation = measured(ablation, model, train)
    if control is not None and control.answers is not None:
        train, validation = train.relabelled(control.answers), validation.relabelled(control.answers)
    problem = Problem(
        model=model,
        prompts=train,
        loss=loss,
        target_loss=bench.target_loss,
        ablation=ablation,
        norms=bench.norms,
        seed=seed,
        device=run.device,
        budget=Budget(memory=run.memory, seconds=run.time_limit),
    )
    scales = problem.norm_scales(validation)
    return Extraction(problem, Cutter(model, validation, loss, bench.target_loss, ablation, scales))


def _edges(bench: Bench, circuit: Circuit) -> int | None:
    count = getattr(bench.model, "count_edges", None)
    return None if count is None else count({s: k.to(bench.model.device) for s, k in circuit.keep.items()})


def named(seeds: Sequence[int]) -> str:
    """`seed 3`, `seeds 0 to 5`, or `seeds 3, 7`."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}"
