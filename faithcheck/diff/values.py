"""What a run says of one metric: a value for each circuit, or one about all seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from faithcheck.diff.seeds import Seed
from faithcheck.estimate import Estimate
from faithcheck.gates import Gate
from faithcheck.result_schema import CheckResult, MetricEntry
from faithcheck.verdict import Verdict, worst


@dataclass(frozen=True, order=True)
class Name:
    """A metric of a check on a task; `on` is "" where it is about nothing in particular."""

    task: str
    check: str
    metric: str
    on: str = ""

    @property
    def is_ratio(self) -> bool:
        """Whether it is compared by factors, on the log scale."""
        return self.metric == "size_ratio" or self.metric.endswith("_size")


@dataclass(frozen=True)
class Values:
    """`by_seed`: of each circuit. `whole`: one number about all seeds, of which `by_seed` has the single ones where
    they are known."""

    by_seed: Mapping[Seed, Estimate]
    whole: Estimate | None
    gate: Gate | None
    verdict: Verdict | None


def values_of(name: Name, check: CheckResult, given: bool) -> Values:
    """`given`: the run tests a circuit that was given. The metric must be there."""
    entries = [entry for entry in check.metrics if (entry.name, entry.on or "") == (name.metric, name.on)]
    gate = next((Gate.parse(entry.gate) for entry in entries if entry.gate), None)
    verdicts = [Verdict(entry.verdict) for entry in entries if entry.verdict]
    verdict = worst(verdicts) if verdicts else None
    if entries[0].seed is None and (not given or any(entry.seed is not None for entry in check.metrics)):
        by_seed = _ratios(check, entries[0]) if name.metric == "size_ratio" else {}
        return Values(by_seed, estimate_of(entries[0]), gate, verdict)
    return Values({entry.seed: estimate_of(entry) for entry in entries}, None, gate, verdict)


def estimate_of(entry: MetricEntry) -> Estimate:
    """What was never reached is infinite, and known to be so where it has no sampling error.

    Raises ValueError where the number lies outside its interval.
    """
    n = entry.n or 0
    if entry.estimate is None and entry.n is None:
        return Estimate.exact(math.inf, n)
    value = math.inf if entry.estimate is None else entry.estimate
    low = -math.inf if entry.low is None else entry.low
    high = math.inf if entry.high is None else entry.high
    return Estimate(value, low, high, n)


def _ratios(check: CheckResult, ratio: MetricEntry) -> dict[Seed, Estimate]:
    """Of a check of the method (`faithcheck.size_ratio`): nodes on the control over nodes on the task, by seed.

    Nothing where some seed was left out of the ratio, for which that was is not in the result.
    """
    sizes = {(entry.name, entry.seed): entry.estimate for entry in check.metrics if entry.name.endswith("_size")}
    control = {name for name, _ in sizes} - {"task_size"}
    tasks = {seed: size for (name, seed), size in sizes.items() if name == "task_size" and size}
    if len(control) != 1 or len(tasks) != ratio.n:
        return {}
    found: dict[Seed, Estimate] = {}
    for seed, task in tasks.items():
        contrast = sizes.get((next(iter(control)), seed))
        found[seed] = Estimate.exact(math.inf if contrast is None else contrast / task, 1)
    return found
