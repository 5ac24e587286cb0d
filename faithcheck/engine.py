"""Runs what was resolved, case by case, yielding events. Extractions feed the checks of their task.

The order is task by task: the extractions of all seeds, then the checks, so that an interrupted run leaves whole tasks.
A method that takes several problems at once is given those of several seeds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from faithcheck.allocator import give_back_freed_memory
from faithcheck.asking import ask, begin
from faithcheck.bench import Bench
from faithcheck.events import Case, CaseFinished, CaseStarted, CheckJudged, CircuitFound, Event, RunStarted
from faithcheck.extraction import circuit_found, extract, named
from faithcheck.keys import case_key
from faithcheck.lent import glimpse
from faithcheck.plain_errors import plain_errors
from faithcheck.references import ResolvedCheck
from faithcheck.resolve import Resolved
from faithcheck.subject import Subject
from faithcheck.task_state import TaskState, behaviour, crash
from faithcheck.time_limit import at_most
from faithcheck.untouched import of_model

SEEDS_AT_ONCE = 8
"""Seeds whose problems a method gets in one call: enough to fill its batches, few enough that progress is seen."""


def execute(run: Resolved) -> Iterator[Event]:
    """Yields RunStarted, then for each case CaseStarted, what it found, and CaseFinished."""
    states = [_started(run, bench) for bench in run.benches]
    plan = {id(state): (_extractions(run, state), _check_cases(run, state)) for state in states}
    yield RunStarted([case for extract, check in plan.values() for case in (*extract, *check)])
    for state in states:
        extractions, checks = plan[id(state)]
        begin(run, state)
        if run.circuit is not None and state.unfit is None and state.lost is None:
            yield from _given(run, state)
        for case, seeds in zip(extractions, _seeds_at_once(run), strict=False):
            yield from _timed(case, partial(extract, run, state, seeds))
        for case, resolved in zip(checks, run.checks, strict=True):
            yield from _timed(case, partial(_judge, run, state, resolved, case))
        state.forget()


def _timed(case: Case, work: Callable[[], tuple[list[Event], str]]) -> Iterator[Event]:
    yield CaseStarted(case)
    start = time.perf_counter()
    with torch.enable_grad():  # whatever the caller, or the plugin of another case, left it at
        events, outcome = work()
    give_back_freed_memory()
    yield from events
    yield CaseFinished(case, time.perf_counter() - start, outcome)


def _started(run: Resolved, bench: Bench) -> TaskState:
    """What the model does on a task before anything is extracted; or the ERROR that running it came to."""
    try:
        with plain_errors(), at_most(run.time_limit, "the model"):
            declared = of_model(bench.model)
            return TaskState(bench, _unfit(bench), behaviour(bench, bench.model), glimpse(bench), declared)
    except Exception as error:
        lost = crash("", bench.task.name, "the model failed on this task", error)
        return TaskState(bench, None, torch.empty(0), torch.empty(0), {}, lost=lost)


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
    return circuit_found(subject, loss, case_key(run, bench.task.name, "circuit"))


def _judge(run: Resolved, state: TaskState, resolved: ResolvedCheck, case: Case) -> tuple[list[Event], str]:
    finding = ask(run, state, resolved)
    return [CheckJudged(finding, case.key, getattr(resolved.check, "question", ""))], finding.verdict.value
