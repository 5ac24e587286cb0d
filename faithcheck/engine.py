"""Runs what was resolved, case by case, yielding events. Extractions feed the checks of their task.

The order is task by task: the extractions of all seeds, then the checks, so that an interrupted run leaves whole tasks.
A method that takes several problems at once is given those of several seeds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import torch

from faithcheck.allocator import give_back_freed_memory
from faithcheck.bench import Bench
from faithcheck.check import CircuitCheck, Measurement, MethodCheck
from faithcheck.errors import NotSupported
from faithcheck.events import Case, CaseFinished, CaseStarted, CheckJudged, CircuitFound, Event, RunStarted
from faithcheck.extraction import edges, extract, named
from faithcheck.judging import Finding, judge_circuits, judge_method
from faithcheck.keys import case_key
from faithcheck.lent import Lent, glimpse
from faithcheck.plain_errors import plain_errors
from faithcheck.plugins import one_line
from faithcheck.references import ResolvedCheck
from faithcheck.resampling import MINIMUM_UNITS
from faithcheck.resolve import Resolved
from faithcheck.subject import Subject
from faithcheck.task_state import TaskState, behaviour, crash
from faithcheck.time_limit import at_most
from faithcheck.untouched import same
from faithcheck.verdict import Verdict

SEEDS_AT_ONCE = 8
"""Seeds whose problems a method gets in one call: enough to fill its batches, few enough that progress is seen."""


def execute(run: Resolved) -> Iterator[Event]:
    """Yields RunStarted, then for each case CaseStarted, what it found, and CaseFinished."""
    states = [_started(run, bench) for bench in run.benches]
    plan = {id(state): (_extractions(run, state), _check_cases(run, state)) for state in states}
    yield RunStarted([case for extract, check in plan.values() for case in (*extract, *check)])
    for state in states:
        extractions, checks = plan[id(state)]
        if run.circuit is not None and state.unfit is None and state.lost is None:
            yield from _given(run, state)
        for case, seeds in zip(extractions, _seeds_at_once(run), strict=False):
            yield from _timed(case, partial(extract, run, state, seeds))
        for case, resolved in zip(checks, run.checks, strict=True):
            yield from _timed(case, partial(_judge, run, state, resolved, case))
        state.subjects.clear()  # they keep what was computed on them


def _timed(case: Case, work: Callable[[], tuple[list[Event], str]]) -> Iterator[Event]:
    yield CaseStarted(case)
    start = time.perf_counter()
    events, outcome = work()
    give_back_freed_memory()
    yield from events
    yield CaseFinished(case, time.perf_counter() - start, outcome)


def _started(run: Resolved, bench: Bench) -> TaskState:
    """What the model does on a task before anything is extracted; or the ERROR that running it came to."""
    try:
        with plain_errors(), at_most(run.time_limit, "the model"):
            return TaskState(bench, _unfit(bench), behaviour(bench, bench.model), glimpse(bench))
    except Exception as error:
        lost = crash("", bench.task.name, "the model failed on this task", error)
        return TaskState(bench, None, torch.empty(0), torch.empty(0), lost=lost)


def _unfit(bench: Bench) -> str | None:
    """Why no check applies to this task: the model cannot do it."""
    loss = bench.model_loss()
    if math.isnan(loss):
        return "the loss of the model itself on this task is not a number"
    if loss <= bench.target_loss:
        return None
    return f"the model itself has a loss of {loss:.3g} nats on this task, above the target of {bench.target_loss:g}"


def _seeds_at_once(run: Resolved) -> list[Sequence[int]]:
    """The seeds of a task in the parts that a method takes at once."""
    several = run.method is not None and hasattr(run.method.method, "extract_many")
    step = SEEDS_AT_ONCE if several else 1
    return [run.seeds[start : start + step] for start in range(0, len(run.seeds), step)]


def _extractions(run: Resolved, state: TaskState) -> list[Case]:
    """The task's own extractions and the controls of the same seeds, which may share their batches."""
    if run.method is None or state.unfit is not None or state.lost is not None:
        return []
    method_scope = any(resolved.is_method_scope for resolved in run.checks)
    if run.circuit is not None and not method_scope:
        return []
    name = state.bench.task.name
    return [
        Case("extract", f"{name}: extract, {named(seeds)}", case_key(run, name, "extract", *seeds), 10 * len(seeds))
        for seeds in _seeds_at_once(run)
    ]


def _check_cases(run: Resolved, state: TaskState) -> list[Case]:
    name = state.bench.task.name
    return [
        Case("check", f"{name}: {c.check.name}", case_key(run, name, c.check.name), 0.3 * len(run.seeds))
        for c in run.checks
    ]


def _given(run: Resolved, state: TaskState) -> list[Event]:
    """The finished circuit under test."""
    try:
        with plain_errors(), at_most(run.time_limit, "the circuit"):
            return [_circuit(run, state)]
    except Exception as error:
        state.lost = crash("", state.bench.task.name, "the model failed on the circuit", error)
        return []


def _circuit(run: Resolved, state: TaskState) -> CircuitFound:
    assert run.circuit is not None
    bench, subject = state.bench, Subject(state.bench, run.circuit)
    state.subjects.append(subject)
    loss = float(subject.losses(subject.run("validation"), "validation").mean())
    key = case_key(run, bench.task.name, "circuit")
    return CircuitFound(bench.task.name, None, run.circuit, edges(bench, run.circuit), loss, subject.reached, key)


def _judge(run: Resolved, state: TaskState, resolved: ResolvedCheck, case: Case) -> tuple[list[Event], str]:
    finding = _finding(run, state, resolved)
    return [CheckJudged(finding, case.key)], finding.verdict.value


def _finding(run: Resolved, state: TaskState, resolved: ResolvedCheck) -> Finding:
    name, task = resolved.check.name, state.bench.task.name
    if state.unfit is not None:
        return Finding(name, task, Verdict.NOT_APPLICABLE, state.unfit)
    if state.lost is not None:
        return replace(state.lost, check=name)
    if state.broken is not None and (resolved.is_method_scope or run.circuit is None or state.changed):
        return replace(state.broken, check=name)
    lent = Lent(state.bench, state.subjects)
    finding = _asked(run, state, resolved)
    changed = _changed(run, state, lent)
    if changed is not None:
        reason = f"the check {name} changed {changed}; nothing after it can be judged on this task"
        state.lost = finding = Finding(name, task, Verdict.ERROR, reason)
    return finding


def _asked(run: Resolved, state: TaskState, resolved: ResolvedCheck) -> Finding:
    """What the check says, or the ERROR that asking it came to."""
    name, task = resolved.check.name, state.bench.task.name
    limit = run.time_limit * max(1, len(state.subjects))
    try:
        with plain_errors(), at_most(limit, f"the check {name}"):
            if resolved.is_method_scope:
                return _judge_method(run, state, resolved)
            return _judge_circuits(state, resolved)
    except NotSupported as error:
        return Finding(name, task, Verdict.NOT_APPLICABLE, str(error))
    except Exception as error:
        return crash(name, task, f"the check {name} crashed", error)


def _changed(run: Resolved, state: TaskState, lent: Lent) -> str | None:
    """What is not as it was before the check; the model: before anything was run on the task."""
    try:
        with plain_errors(), at_most(run.time_limit, "the model"):
            return lent.changed() or (None if same(glimpse(state.bench), state.glimpse) else "the model")
    except Exception as error:
        return f"what it was lent ({one_line(error)})"


def _judge_circuits(state: TaskState, resolved: ResolvedCheck) -> Finding:
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
    bench, provenance = subject.bench, subject.circuit.provenance
    splits = {"test": "the task"}
    if getattr(check, "uses_shifts", False):
        splits |= {shift: f"the shift {shift}" for shift in bench.task.shifts}
    for split, what in splits.items():
        units = len(bench.prompts(split).units.unique())
        if units < MINIMUM_UNITS:
            yield f"{what} has only {units} independent units ({bench.task.unit}), an interval needs {MINIMUM_UNITS}"
    if provenance.get("fingerprint") not in (None, bench.model.fingerprint):
        yield "the circuit was found on a model with other weights"
    if provenance.get("task_sha256") not in (None, bench.task.fingerprint):
        yield "the circuit was found on a task of this name with other prompts or answers"


def _judge_method(run: Resolved, state: TaskState, resolved: ResolvedCheck) -> Finding:
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
