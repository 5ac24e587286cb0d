"""Error rates: counts of instances with exact intervals, and the most that they may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from faithcheck.calibration.records import Record, Variant
from faithcheck.estimate import Estimate
from faithcheck.verdict import JUDGED, Verdict


class Outcome(NamedTuple):
    """What rates are made of."""

    family: str
    variant: Variant
    verdict: Verdict


def outcomes(records: Iterable[Record]) -> list[Outcome]:
    return [Outcome(record.family, record.variant, record.verdict) for record in records]


@dataclass(frozen=True)
class Rate:
    """`k` of `n` instances."""

    k: int
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the rate (Clopper & Pearson 1934); (0, 1) of no instances."""
        from faithcheck.intervals import share

        if self.n == 0:
            return 0.0, 1.0
        estimate: Estimate = share([i < self.k for i in range(self.n)], range(self.n))
        return estimate.low, estimate.high

    @property
    def text(self) -> str:
        """`0 of 25, at most 14 %`; limits are rounded outwards."""
        low, high = self.interval
        if self.n == 0:
            return "0 of 0"
        if self.k == 0:
            return f"0 of {self.n}, at most {_percent(high, math.ceil)} %"
        if self.k == self.n:
            return f"{self.n} of {self.n}, at least {_percent(low, math.floor)} %"
        return f"{self.k} of {self.n}, {_percent(low, math.floor)} to {_percent(high, math.ceil)} %"

    def to_data(self) -> dict[str, Any]:
        low, high = self.interval
        return {"k": self.k, "n": self.n, "low": low, "high": high}


MOST_UNJUDGED = 0.1
"""Where a larger share of the instances got no verdict, the rate of the others says little."""


@dataclass(frozen=True)
class Figure:
    """A rate with the most that it may be. `unjudged`: instances to which the check did not apply, or on which it
    crashed."""

    name: str
    rate: Rate
    limit: float
    unjudged: int = 0

    @property
    def met(self) -> bool | None:
        """By the observed rate; None where nothing was judged, or too many instances were not."""
        few = self.unjudged > MOST_UNJUDGED * (self.rate.n + self.unjudged)
        return None if self.rate.n == 0 or few else self.rate.k <= self.limit * self.rate.n + 1e-9

    def to_data(self) -> dict[str, Any]:
        counts = {**self.rate.to_data(), "unjudged": self.unjudged}
        return {"name": self.name, **counts, "limit": self.limit, "met": self.met}


DECOYS_PASSED = "decoys passed"
TRUE_FAILED = "true failed"
TRUE_INCONCLUSIVE = "true inconclusive"
FAILED_ELSEWHERE = "true failed elsewhere"


def figures(found: Sequence[Outcome], exercising: Collection[str]) -> list[Figure]:
    """What is required of one check, of whose verdicts `found` are some, on families that exercise it and others."""
    decoys = [o.verdict for o in found if o.variant == "decoy" and o.family in exercising]
    true = [o.verdict for o in found if o.variant == "true" and o.family in exercising]
    others = [o.verdict for o in found if o.variant == "true" and o.family not in exercising]
    asked = (
        (DECOYS_PASSED, decoys, Verdict.PASS, 0.0),
        (TRUE_FAILED, true, Verdict.FAIL, 0.05),
        (TRUE_INCONCLUSIVE, true, Verdict.INCONCLUSIVE, 0.1),
        (FAILED_ELSEWHERE, others, Verdict.FAIL, 0.05),
    )
    return [
        Figure(name, rate_of(of, wrong), limit, sum(verdict not in JUDGED for verdict in of))
        for name, of, wrong, limit in asked
    ]


def rate_of(verdicts: Sequence[Verdict], verdict: Verdict) -> Rate:
    """How many of those that were judged got this verdict; others are no trial of a check."""
    return Rate(verdicts.count(verdict), sum(v in JUDGED for v in verdicts))


def _percent(share: float, rounded: Callable[[float], int]) -> str:
    """A share in per cent: whole above 10 %, one decimal below, rounded as told."""
    percent = 100 * share
    if percent >= 10:
        return f"{rounded(percent):d}"
    return f"{rounded(10 * percent) / 10:g}"
