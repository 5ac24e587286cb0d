"""From measurements to a finding: gates judge metrics, the worst circuit decides, and one sentence says why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faithcheck.check import CircuitCheck, Measurement, MethodCheck, Metric
from faithcheck.gates import Gate
from faithcheck.keepable import refuse_what_cannot_be_kept
from faithcheck.verdict import Verdict, worst

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Judged:
    """A metric with its gate and verdict; both None where it is only reported."""

    metric: Metric
    gate: Gate | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Finding:
    """The answer of one check on one task. `labels` are the names that go with its evidence; `details` is the traceback
    of an ERROR."""

    check: str
    task: str
    verdict: Verdict
    reason: str
    metrics: Sequence[Judged] = ()
    evidence: Mapping[str, Tensor] = field(default_factory=dict)
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    details: str = ""


@dataclass(frozen=True)
class _Judgement:
    """What one measurement comes to."""

    verdict: Verdict
    sentence: str
    metrics: Sequence[Judged]
    weight: float = 0.0
    """How representative it is among those of the same verdict: the value of the metric that decided."""


def judge_circuits(
    check: CircuitCheck,
    task: str,
    gates: Mapping[str, Gate],
    measured: Sequence[tuple[int | None, Measurement]],
) -> Finding:
    """A circuit-scope check over the circuits of a task: the worst verdict, and of how many circuits it holds."""
    judgements = [_judge(check, gates, measurement) for _, measurement in measured]
    verdict = worst(j.verdict for j in judgements)
    same = sorted((j for j in judgements if j.verdict is verdict), key=lambda j: j.weight)
    reason = same[len(same) // 2].sentence
    if len(judgements) > 1:
        reason = f"{len(same)} of {len(judgements)} circuits: {reason}"
    evidence = {
        name if seed is None else f"{seed}/{name}": value
        for seed, measurement in measured
        for name, value in measurement.evidence.items()
    }
    labels = {name: words for _, measurement in measured for name, words in measurement.labels.items()}
    metrics = [judged for j in judgements for judged in j.metrics]
    summary = getattr(check, "summary", None)
    if summary is not None:
        metrics += [Judged(metric) for metric in summary([m.metric for m in metrics], gates)]
    return Finding(check.name, task, verdict, reason, metrics, evidence, labels)


def judge_method(check: MethodCheck, task: str, gates: Mapping[str, Gate], measurement: Measurement) -> Finding:
    """A method-scope check, which has one measurement over all seeds."""
    found = _judge(check, gates, measurement)
    return Finding(
        check.name, task, found.verdict, found.sentence, found.metrics, measurement.evidence, measurement.labels
    )


def _judge(check: CircuitCheck | MethodCheck, gates: Mapping[str, Gate], measurement: Measurement) -> _Judgement:
    refuse_what_cannot_be_kept(measurement)
    metrics = [_judged(metric, gates.get(metric.name)) for metric in measurement.metrics]
    verdict, sentence, weight = _verdict(check, measurement, metrics)
    remark = f" ({measurement.remark})" if measurement.remark else ""
    return _Judgement(verdict, sentence + remark, metrics, weight)


def _judged(metric: Metric, gate: Gate | None) -> Judged:
    if gate is None:
        return Judged(metric)
    if metric.estimate is None:
        raise ValueError(f"{metric.name} is gated but has no estimate")
    return Judged(metric, gate, gate.judge(metric.estimate))


def _verdict(
    check: CircuitCheck | MethodCheck, measurement: Measurement, metrics: Sequence[Judged]
) -> tuple[Verdict, str, float]:
    for verdict, sentence in (
        (Verdict.NOT_APPLICABLE, measurement.not_applicable),
        (Verdict.FAIL, measurement.failed),
        (Verdict.INCONCLUSIVE, measurement.undecided),
    ):
        if sentence is not None:
            return verdict, sentence, 0.0
    gated = [judged for judged in metrics if judged.verdict is not None]
    missing = sorted(set(check.gates) - {judged.metric.name for judged in gated})
    if missing:
        raise ValueError(f"check {check.name} did not measure {', '.join(missing)}")
    if not gated:
        raise ValueError(f"check {check.name} has no gate, so it can judge nothing")
    verdict = worst(judged.verdict for judged in gated if judged.verdict)
    deciding = [judged for judged in gated if judged.verdict is verdict]
    sentence = "; ".join(_sentence(check, judged) for judged in deciding)
    estimate = deciding[0].metric.estimate
    return verdict, sentence, estimate.value if estimate else 0.0


def _sentence(check: CircuitCheck | MethodCheck, judged: Judged) -> str:
    """What the metric says, its interval and gate; for an INCONCLUSIVE, what would probably settle it."""
    estimate, gate = judged.metric.estimate, judged.gate
    assert estimate is not None
    assert gate is not None
    assert judged.verdict is not None
    text = f"{check.sentence(judged.metric, judged.verdict)} ({interval_text(judged.metric)}, gate {gate.resolved})"
    settle = gate.settle(estimate, judged.metric.noun)
    return f"{text}: {settle}" if settle else text


def interval_text(metric: Metric) -> str:
    """`0.69 [0.68, 0.70]`, or one number where there is no sampling error."""
    estimate = metric.estimate
    if estimate is None:
        return "not reached"
    value = f"{estimate.value:.3g}" if math.isfinite(estimate.value) else "not reached"
    if estimate.low == estimate.high:
        return value
    low, high = (f"{x:.3g}" if math.isfinite(x) else "unbounded" for x in (estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"
