"""Runs what was resolved, case by case, yielding events. Extractions feed the checks of their task.

The order is task by task: the extractions of all seeds, then the checks, so that an interrupted run leaves whole tasks.
A method that takes several problems at once is given those of several seeds.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from faithcheck.bench import Bench
from faithcheck.check import CircuitCheck, Control, Measurement, MethodCheck, Trial
from faithcheck.circuit import Circuit, NodeScores
from faithcheck.cutting import Cut, Cutter
from faithcheck.errors import NotSupported
from faithcheck.events import Case, CaseFinished, CaseStarted, CheckJudged, CircuitFound, Event, RunStarted
from faithcheck.judging import Finding, judge_circuits, judge_method
from faithcheck.keys import case_key
from faithcheck.losses import LossKind
from faithcheck.method import Problem, extract_many
from faithcheck.model import Model
from faithcheck.plugins import one_line
from faithcheck.references import ResolvedCheck
from faithcheck.resampling import MINIMUM_UNITS
from faithcheck.resolve import Resolved
from faithcheck.scales import norm_scales
from faithcheck.subject import Subject
from faithcheck.verdict import Verdict

SEEDS_AT_ONCE = 8
"""Seeds whose problems a method gets in one call: enough to fill its batches, few enough that progress is seen."""


@dataclass
class _TaskState:
    """What the extractions of one task left for its checks."""

    bench: Bench
    unfit: str | None
    behaviour: Tensor
    """The model's logits on the validation prompts before anything was extracted."""
    subjects: list[Subject] = field(default_factory=list)
    controls: dict[str, Sequence[Control] | Measurement | Finding] = field(default_factory=dict)
    trials: dict[str, list[Trial]] = field(default_factory=dict)
    broken: Finding | None = None
    changed: bool = False


@dataclass(frozen=True)
class _Extraction:
    """A problem for the method, and how the scores that it returns are cut: on the same model, answers and loss."""

    problem: Problem
    cutter: Cutter


def execute(run: Resolved) -> Iterator[Event]:
    """Yields RunStarted, then for each case CaseStarted, what it found, and CaseFinished."""
    states = [_TaskState(bench, _unfit(bench), _behaviour(bench, bench.model)) for bench in run.benches]
    plan = {id(state): (_extractions(run, state), _check_cases(run, state)) for state in states}
    yield RunStarted([case for extract, check in plan.values() for case in (*extract, *check)])
    for state in states:
        extract, check = plan[id(state)]
        if run.circuit is not None and state.unfit is None:
            yield from _given(run, state)
        for case, seeds in zip(extract, _seeds_at_once(run), strict=False):
            yield from _timed(case, partial(_extract, run, state, seeds))
        for case, resolved in zip(check, run.checks, strict=True):
            yield from _timed(case, partial(_judge, run, state, resolved, case))


def _timed(case: Case, work: Callable[[], tuple[list[Event], str]]) -> Iterator[Event]:
    yield CaseStarted(case)
    start = time.perf_counter()
    events, outcome = work()
    yield from events
    yield CaseFinished(case, time.perf_counter() - start, outcome)


def _unfit(bench: Bench) -> str | None:
    """Why no check applies to this task: the model cannot do it."""
    loss = bench.model_loss()
    if math.isnan(loss):
        return "the loss of the model itself on this task is not a number"
    if loss <= bench.target_loss:
        return None
    return f"the model itself has a loss of {loss:.3g} nats on this task, above the target of {bench.target_loss:g}"


def _behaviour(bench: Bench, model: Model) -> Tensor:
    """The logits of a model on the task's validation prompts, float[1 or 2, prompt, token].

    Also as its restriction to all nodes gives them, which may be computed from other copies of the weights.
    """
    prompts = bench.prompts("validation")
    models = [model]
    if hasattr(model, "restrict"):
        every = {
            name: torch.ones(site.size, dtype=torch.bool, device=model.device) for name, site in model.sites.items()
        }
        models.append(model.restrict(every, bench.ablation))
    with torch.no_grad():
        return torch.cat([m.run(prompts.tokens, positions=prompts.positions).logits for m in models])


def _seeds_at_once(run: Resolved) -> list[Sequence[int]]:
    """The seeds of a task in the parts that a method takes at once."""
    several = run.method is not None and hasattr(run.method.method, "extract_many")
    step = SEEDS_AT_ONCE if several else 1
    return [run.seeds[start : start + step] for start in range(0, len(run.seeds), step)]


def _extractions(run: Resolved, state: _TaskState) -> list[Case]:
    """The task's own extractions and the controls of the same seeds, which may share their batches."""
    if run.method is None or state.unfit is not None:
        return []
    method_scope = any(resolved.is_method_scope for resolved in run.checks)
    if run.circuit is not None and not method_scope:
        return []
    name = state.bench.task.name
    return [
        Case("extract", f"{name}: extract, {_named(seeds)}", case_key(run, name, "extract", *seeds), 10 * len(seeds))
        for seeds in _seeds_at_once(run)
    ]


def _named(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def _check_cases(run: Resolved, state: _TaskState) -> list[Case]:
    name = state.bench.task.name
    return [
        Case("check", f"{name}: {c.check.name}", case_key(run, name, c.check.name), 0.3 * len(run.seeds))
        for c in run.checks
    ]


def _given(run: Resolved, state: _TaskState) -> Iterator[Event]:
    """The finished circuit under test."""
    assert run.circuit is not None
    bench = replace(state.bench, norms=run.circuit.norms)
    subject = Subject(bench, run.circuit)
    state.subjects.append(subject)
    loss = float(subject.losses(subject.run("validation"), "validation").mean())
    key = case_key(run, bench.task.name, "circuit")
    yield CircuitFound(bench.task.name, None, run.circuit, _edges(bench, run.circuit), loss, subject.reached, key)


def _extract(run: Resolved, state: _TaskState, seeds: Sequence[int]) -> tuple[list[Event], str]:
    """Run the method on the task and on these seeds' controls; cut circuits from what it returns."""
    if state.broken is not None:
        return [], "skipped: an earlier extraction failed"
    try:
        with _plain_errors():
            return _extract_and_cut(run, state, seeds)
    except Exception as error:
        state.broken = _crash("", state.bench.task.name, f"the method failed on {_named(seeds)}", error)
        return [], state.broken.reason


def _extract_and_cut(run: Resolved, state: _TaskState, seeds: Sequence[int]) -> tuple[list[Event], str]:
    """All problems of these seeds in one call of the method; then, seed by seed, what its scores come to."""
    asked = [_asked(run, state, seed) for seed in seeds]
    found = iter(
        _scores(run, state, [e.problem for own, controls in asked for e in (*own, *(c for *_, c in controls))])
    )
    events: list[Event] = []
    outcomes = []
    for seed, (own, controls) in zip(seeds, asked, strict=True):
        scores = [next(found) for _ in own]
        cuts = [extraction.cutter.cut(s) for extraction, s in zip(own, scores, strict=True)]
        for check, control, extraction in controls:
            _tried(state, check, control, cuts[-1], extraction.cutter, next(found))
        if run.circuit is None:
            events.append(_found(run, state, seed, cuts[0], scores[0]))
            outcomes.append(cuts[0])
    return events, _outcome(outcomes) if outcomes else "extracted for the controls"


def _asked(
    run: Resolved, state: _TaskState, seed: int
) -> tuple[list[_Extraction], list[tuple[str, Control, _Extraction]]]:
    """The task's own extraction, unless a circuit was given; the task under the controls' loss, last; the controls."""
    bench, controls = state.bench, _controls_of(run, state, seed)
    losses: list[LossKind] = [bench.loss] if run.circuit is None else []
    if controls and "full" not in losses:
        losses.append("full")
    own = [_extraction(run, bench, seed, loss) for loss in losses]
    return own, [(check, control, _extraction(run, bench, seed, "full", control)) for check, control in controls]


def _tried(state: _TaskState, check: str, control: Control, real: Cut, cutter: Cutter, scores: NodeScores) -> None:
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


def _scores(run: Resolved, state: _TaskState, problems: Sequence[Problem]) -> list[NodeScores]:
    """What the method returns; RuntimeError where it changed a model, ValueError where it returns too few or many."""
    assert run.method is not None
    bench, lent = state.bench, [problem.model for problem in problems if problem.model is not state.bench.model]
    before = [_behaviour(bench, model) for model in lent]
    found = extract_many(run.method.method, problems)
    state.changed = not _same(_behaviour(bench, bench.model), state.behaviour)
    if state.changed:
        raise RuntimeError("the method changed the model that it was given; nothing after it can be judged")
    if not all(_same(_behaviour(bench, model), was) for model, was in zip(lent, before, strict=True)):
        raise RuntimeError("the method changed the model of a control that it was given")
    if len(found) != len(problems):
        raise ValueError(f"the method returned {len(found)} scores for {len(problems)} problems")
    return found


def _same(now: Tensor, before: Tensor) -> bool:
    """To the bit, NaN and NaN being the same: a model that gives NaN has not been changed by giving it again."""
    return now.shape == before.shape and bool(((now == before) | (now.isnan() & before.isnan())).all())


def _found(run: Resolved, state: _TaskState, seed: int, cut: Cut, scores: NodeScores) -> CircuitFound:
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
    state.subjects.append(Subject(bench, circuit, seed, cut, scores))
    key = case_key(run, bench.task.name, "extract", seed)
    return CircuitFound(bench.task.name, seed, circuit, _edges(bench, circuit), cut.loss, cut.reached, key)


def _controls_of(run: Resolved, state: _TaskState, seed: int) -> list[tuple[str, Control]]:
    """The controls of this seed that method-scope checks ask for, by check."""
    wanted = []
    for resolved in run.checks:
        if resolved.is_method_scope:
            check = cast(MethodCheck, resolved.check)
            if check.name not in state.controls:
                state.controls[check.name] = _ask_for_controls(check, state.bench, list(run.seeds))
            controls = state.controls[check.name]
            if not isinstance(controls, Measurement | Finding):
                wanted += [(check.name, control) for control in controls if control.seed == seed]
    return wanted


def _ask_for_controls(check: MethodCheck, bench: Bench, seeds: list[int]) -> Sequence[Control] | Measurement | Finding:
    """The check's controls, why there are none, or the ERROR that asking for them came to."""
    try:
        with _plain_errors():
            return check.controls(bench, seeds)
    except NotSupported as error:
        return Measurement(not_applicable=str(error))
    except Exception as error:
        return _crash(check.name, bench.task.name, f"the check {check.name} crashed", error)


def _extraction(run: Resolved, bench: Bench, seed: int, loss: LossKind, control: Control | None = None) -> _Extraction:
    """The task's own, or with what a control puts in the place of the task's answers or model."""
    model, train, validation = bench.model, bench.prompts("train"), bench.prompts("validation")
    if control is not None and control.model is not None:
        model = control.model
    if control is not None and control.answers is not None:
        train, validation = train.relabelled(control.answers), validation.relabelled(control.answers)
    problem = Problem(
        model=model,
        prompts=train,
        loss=loss,
        target_loss=bench.target_loss,
        ablation=bench.ablation,
        norms=bench.norms,
        seed=seed,
        device=run.device,
    )
    scales = norm_scales(model, validation) if bench.norms == "frozen" else None
    return _Extraction(problem, Cutter(model, validation, loss, bench.target_loss, bench.ablation, scales))


def _edges(bench: Bench, circuit: Circuit) -> int | None:
    count = getattr(bench.model, "count_edges", None)
    return None if count is None else count({s: k.to(bench.model.device) for s, k in circuit.keep.items()})


def _judge(run: Resolved, state: _TaskState, resolved: ResolvedCheck, case: Case) -> tuple[list[Event], str]:
    finding = _finding(run, state, resolved)
    return [CheckJudged(finding, case.key)], finding.verdict.value


def _finding(run: Resolved, state: _TaskState, resolved: ResolvedCheck) -> Finding:
    name, task = resolved.check.name, state.bench.task.name
    if state.unfit is not None:
        return Finding(name, task, Verdict.NOT_APPLICABLE, state.unfit)
    if state.broken is not None and (resolved.is_method_scope or run.circuit is None or state.changed):
        return replace(state.broken, check=name)
    try:
        with _plain_errors():
            if resolved.is_method_scope:
                return _judge_method(run, state, resolved)
            return _judge_circuits(state, resolved)
    except NotSupported as error:
        return Finding(name, task, Verdict.NOT_APPLICABLE, str(error))
    except Exception as error:
        return _crash(name, task, f"the check {name} crashed", error)


def _judge_circuits(state: _TaskState, resolved: ResolvedCheck) -> Finding:
    check = cast(CircuitCheck, resolved.check)
    measured: dict[object, Measurement] = {}
    rows = []
    for subject in state.subjects:
        identity = (subject.circuit.identity, subject.cut and subject.cut.curve)
        if identity not in measured:
            measured[identity] = _measure(check, subject)
        same = measured[identity]
        metrics = [replace(m, seed=subject.seed) for m in same.metrics]
        rows.append((subject.seed, replace(same, metrics=metrics)))
    return judge_circuits(check, state.bench.task.name, resolved.gates, rows)


def _measure(check: CircuitCheck, subject: Subject) -> Measurement:
    if not subject.reached and getattr(check, "needs_circuit", True):
        return Measurement(not_applicable="there is no circuit to test: the target loss was not reached")
    if subject.reached and subject.is_needless:
        what = "the circuit is empty" if not subject.circuit.size else "the circuit's nodes are not needed"
        why = f"{what}: embedding and unembedding alone reach the target loss, so there is nothing to test"
        return Measurement(not_applicable=why)
    if not subject.losses(subject.run()).isfinite().all():
        raise ValueError("the circuit's loss on a held-out prompt is not finite")
    measurement, remarks = check.measure(subject), list(_remarks(check, subject))
    return replace(measurement, remark="; ".join(filter(None, [measurement.remark, *remarks])))


def _remarks(check: CircuitCheck, subject: Subject) -> Iterator[str]:
    bench, made_on = subject.bench, subject.circuit.provenance.get("fingerprint")
    splits = {"test": "the task"}
    if getattr(check, "uses_shifts", False):
        splits |= {shift: f"the shift {shift}" for shift in bench.task.shifts}
    for split, what in splits.items():
        units = len(bench.prompts(split).units.unique())
        if units < MINIMUM_UNITS:
            yield f"{what} has only {units} independent units ({bench.task.unit}), an interval needs {MINIMUM_UNITS}"
    if made_on not in (None, bench.model.fingerprint):
        yield "the circuit was found on a model with other weights"


def _judge_method(run: Resolved, state: _TaskState, resolved: ResolvedCheck) -> Finding:
    check = cast(MethodCheck, resolved.check)
    if run.method is None:
        measurement = Measurement(not_applicable="no method is known for this circuit; name one with --method")
    else:
        controls = state.controls[check.name]
        if isinstance(controls, Finding):
            return controls
        if isinstance(controls, Measurement):
            measurement = controls
        else:
            measurement = check.measure(state.bench, state.trials.get(check.name, []))
    return judge_method(check, state.bench.task.name, resolved.gates, measurement)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """A SystemExit of a plugin is an error of the plugin, not a wish to stop the run."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"called sys.exit({error.code!r})") from error


def _crash(check: str, task: str, what: str, error: Exception) -> Finding:
    details = "".join(traceback.format_exception(error))
    return Finding(check, task, Verdict.ERROR, f"{what}: {one_line(error)}", details=details)
