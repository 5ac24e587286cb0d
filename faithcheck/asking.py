"""Asks one check of a task's circuits or of its method, and comes to a finding whatever the check does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from faithcheck.check import CircuitCheck, Measurement, MethodCheck
from faithcheck.errors import NotSupported
from faithcheck.judging import Finding, judge_circuits, judge_method
from faithcheck.lent import Lent, glimpse
from faithcheck.plain_errors import plain_errors
from faithcheck.plugins import one_line
from faithcheck.references import ResolvedCheck
from faithcheck.resampling import MINIMUM_UNITS
from faithcheck.resolve import Resolved
from faithcheck.subject import Subject
from faithcheck.task_state import TaskState, crash
from faithcheck.time_limit import at_most
from faithcheck.untouched import changed, of_model, same
from faithcheck.verdict import Verdict


def ask(run: Resolved, state: TaskState, resolved: ResolvedCheck) -> Finding:
    """What the check says of the task; ERROR where it fails, or what it was lent is no longer as it was."""
    name, task = resolved.check.name, state.bench.task.name
    if state.unfit is not None:
        return Finding(name, task, Verdict.NOT_APPLICABLE, state.unfit)
    if state.lost is not None:
        return replace(state.lost, check=name)
    if state.broken is not None and (resolved.is_method_scope or run.circuit is None or state.changed):
        return replace(state.broken, check=name)
    lent = Lent(state.bench, state.subjects)
    finding = _answer(run, state, resolved)
    return lost(run, state, name, lent) or finding


def lost(run: Resolved, state: TaskState, check: str, lent: Lent) -> Finding | None:
    """The ERROR of this check, and of all after it, where it changed what it was lent."""
    what = _changed(run, state, lent)
    if what is None:
        return None
    reason = f"the check {check} changed {what}; nothing after it can be judged on this task"
    state.lost = Finding(check, state.bench.task.name, Verdict.ERROR, reason)
    return state.lost


def begin(run: Resolved, state: TaskState) -> None:
    """Leaves the task nothing to judge where the model is no longer as it was before the tasks before this one."""
    what = None if state.lost is not None else _changed(run, state, Lent(state.bench, []))
    if what is not None:
        reason = f"{what} was changed on an earlier task; nothing after it can be judged"
        state.lost = Finding("", state.bench.task.name, Verdict.ERROR, reason)


def _answer(run: Resolved, state: TaskState, resolved: ResolvedCheck) -> Finding:
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
    """What is not as it was before the check; the model: before anything was run."""
    try:
        with plain_errors(), at_most(run.time_limit, "the model"):
            if changed(state.declared, of_model(state.bench.model)):
                return "the sites or norms of the model"
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
        found = measured[identity]
        metrics = [replace(m, seed=subject.seed) for m in found.metrics]
        rows.append((subject.seed, replace(found, metrics=metrics)))
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
