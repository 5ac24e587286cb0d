"""What else differs between two runs than what they found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from faithcheck.diff.run import Run

_ENVIRONMENT = ("faithcheck", "torch", "device", "machine")
_SUITE = ("target_loss", "ablation", "norms", "loss")


def differences(base: Run, head: Run) -> list[str]:
    """One sentence each: model, method, suite, checks, their parameters and gates, prompts of tasks, versions."""
    one, other = base.loaded.data, head.loaded.data
    found = [*_named("model", one.model.name, other.model.name)]
    if one.model.fingerprint != other.model.fingerprint and not found:
        found.append(f"the model {one.model.name} has other weights")
    found += _method(base, head)
    found += [text for key in _SUITE for text in _named(key, getattr(one.suite, key), getattr(other.suite, key))]
    machines = one.environment, other.environment
    found += [text for key in _ENVIRONMENT for text in _named(key, *(machine.get(key) for machine in machines))]
    return [*found, *_prompts(base, head), *_checks(base, head), *_gates(base, head)]


def _named(what: str, base: Any, head: Any) -> list[str]:
    return [] if base == head else [f"{what}: {_said(base)} in BASE, {_said(head)} in HEAD"]


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


def _method(base: Run, head: Run) -> Iterator[str]:
    one, other = base.loaded.data.method, head.loaded.data.method
    names = [side.name if side else None for side in (one, other)]
    yield from _named("method", *names)
    if one and other and names[0] == names[1]:
        yield from _parameters("method", one.parameters, other.parameters)


def _checks(base: Run, head: Run) -> Iterator[str]:
    after = {check.name: check.parameters for check in head.loaded.data.suite.checks}
    for check in base.loaded.data.suite.checks:
        if check.name in after:
            yield from _parameters(check.name, check.parameters, after[check.name])


def _parameters(of: str, base: Mapping[str, Any], head: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*base, *head}):
        yield from _named(f"{of}.{key}", base.get(key), head.get(key))


def _prompts(base: Run, head: Run) -> Iterator[str]:
    for task in dict.fromkeys(task for task, _ in base.checks.keys() & head.checks.keys()):
        one, other = base.prompts(task), head.prompts(task)
        if one is None or other is None:
            yield f"the prompts of the task {task} are not known to be the same: compared unpaired"
        elif one != other:
            yield f"the task {task} has other prompts: compared unpaired"


def _gates(base: Run, head: Run) -> Iterator[str]:
    for (task, check), one in base.checks.items():
        other = head.checks.get((task, check))
        if other is None:
            continue
        before, after = base.gates(one), head.gates(other)
        measured = {m.name for m in one.metrics} & {m.name for m in other.metrics}
        for metric in sorted(measured):
            if before.get(metric) != after.get(metric):
                yield from _named(f"{task}, {check}, gate of {metric}", before.get(metric), after.get(metric))
