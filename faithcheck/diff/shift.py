"""How far one metric moved, with an interval and a p-value, by what its noise is. docs/diff.md has it in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtr, stdtrit

from faithcheck.estimate import Estimate
from faithcheck.intervals import TAIL, bootstrap, difference

Floats = npt.NDArray[np.float64]
_MANY = 1e6
"""Degrees of freedom at which Student's t is the normal distribution."""
_ENUMERATED = 50_000
"""Most ways to deal out the seeds that the rank test goes through one by one."""


ROUNDING = 1e-5
"""Of a value: what single precision makes of the same circuit on another machine differs by less."""


@dataclass(frozen=True)
class Shift:
    """HEAD minus BASE with its 95 % limits, None where none can be given; `p`, two-sided, that noise alone does it.

    `counted`: p counts ways to deal out seeds, so that of few seeds it cannot be small: 1/462 at least of 6 and 6.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float
    counted: bool = False


NO_SHIFT = Shift(0.0, 0.0, 0.0, 1.0)


def paired(base: Sequence[float], head: Sequence[float]) -> Shift:
    """Of values of the same seeds, in the same order, float[seed], at least two: t interval of the mean difference.

    Differences that are all alike say nothing of their spread: then the sign test, 2 / 2^seeds, or, where no value of a
    run differs either, the rank test, for pairs without a spread have nothing in common; and no interval.
    """
    one, other = np.asarray(base, dtype=np.float64), np.asarray(head, dtype=np.float64)
    apart = other - one
    n, mean, least = len(apart), float(apart.mean()), ROUNDING * _largest(one, other)
    if float(apart.std()) > least:
        return _student(mean, _standard_error(apart), n - 1)
    if abs(mean) <= least:
        return NO_SHIFT
    flat = max(one.std(), other.std()) <= least
    return Shift(mean, None, None, rank_test([0.0] * n, [1.0] * n) if flat else 2.0 ** (1 - n), counted=True)


def independent(base: Sequence[float], head: Sequence[float]) -> Shift:
    """Of values of other seeds, at least two a side: the interval of Welch 1947 (Biometrika 34:28).

    Where neither side has a spread: the rank test, and no interval.
    """
    one, other = np.asarray(base, dtype=np.float64), np.asarray(head, dtype=np.float64)
    mean, least = float(other.mean() - one.mean()), ROUNDING * _largest(one, other)
    if max(one.std(), other.std()) <= least:
        if abs(mean) <= least:
            return NO_SHIFT
        return Shift(mean, None, None, rank_test([0.0] * len(one), [1.0] * len(other)), counted=True)
    errors = _standard_error(one), _standard_error(other)
    error = math.hypot(*errors)
    freedom = sum((e / error) ** 4 / (len(side) - 1) for e, side in zip(errors, (one, other), strict=True))
    return _student(mean, error, 1 / freedom)


def rank_test(base: Sequence[float], head: Sequence[float]) -> float:
    """The two-sided p of the sum of midranks (Wilcoxon 1945; Mann & Whitney 1947), for values that may be infinite.

    Exact over all ways to deal out the values, ties as they are (Lehmann 1975, *Nonparametrics*, section 1.4); where
    these are more than 50,000, the normal approximation with the variance for ties.
    """
    ranks = midranks([*base, *head])
    n, total = len(base), len(ranks)
    middle = n * (total + 1) / 2
    found = abs(float(ranks[:n].sum()) - middle) - 1e-9
    if math.comb(total, n) <= _ENUMERATED:
        dealt = ranks[np.array(list(combinations(range(total), n)))].sum(1)
        return float((np.abs(dealt - middle) >= found).mean())
    variance = n * (total - n) / total * float(ranks.var(ddof=1))
    return 1.0 if variance == 0 else float(min(1.0, 2 * ndtr(-max(0.0, found - 0.5) / math.sqrt(variance))))


def midranks(values: Sequence[float]) -> Floats:
    """Ranks from 1 on, float[value]; values that are alike, infinities too, share the mean of theirs."""
    _, inverse, counts = np.unique(np.array(values, dtype=np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def paired_draws(base: Floats, head: Floats, value: float, n: int, draws: int) -> Shift:
    """Of one circuit in each run, from draws of the same prompts, float[draw + unit]: bootstrap of the difference."""
    apart = head.astype(np.float64) - base.astype(np.float64)
    found = bootstrap(apart[:draws], apart[draws:], value, n)
    return Shift(value, found.low, found.high, _p(value, found.low, found.high, len(apart) - draws - 1))


def of_intervals(base: Estimate, head: Estimate) -> Shift:
    """Of numbers with independent errors, from their own limits: `intervals.difference`.

    Too wide where both were measured on the same prompts. Of an infinite value no difference is taken: it moved where
    the two intervals lie apart.
    """
    if not (math.isfinite(base.value) and math.isfinite(head.value)):
        apart = head.low > base.high or base.low > head.high
        return Shift(None, None, None, 0.0 if apart else 1.0)
    found = difference(head, base)
    return Shift(found.value, found.low, found.high, _p(found.value, found.low, found.high, _MANY))


def widened(shift: Shift, below: float, above: float) -> Shift:
    """With an independent error whose 95 % limits lie so far below and above."""
    if shift.value is None:
        return shift
    low = shift.value - math.hypot(shift.value - (shift.value if shift.low is None else shift.low), below)
    high = shift.value + math.hypot((shift.value if shift.high is None else shift.high) - shift.value, above)
    return Shift(shift.value, low, high, max(shift.p, _p(shift.value, low, high, _MANY)), shift.counted)


def beyond(p_values: Sequence[float], level: float = 2 * TAIL) -> list[bool]:
    """Which of several may be called beyond noise, so that with `level` at most one is wrongly: Holm 1979."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    found = [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > level / (len(order) - rank):
            break
        found[i] = True
    return found


def _student(mean: float, error: float, freedom: float) -> Shift:
    half = float(stdtrit(freedom, 1 - TAIL)) * error
    return Shift(mean, mean - half, mean + half, float(2 * stdtr(freedom, -abs(mean) / error)))


def _p(value: float, low: float, high: float, freedom: float) -> float:
    """The p at which an interval that is stretched like Student's t begins to hold 0."""
    side = value - low if value > 0 else high - value
    if value == 0 or math.isinf(side):
        return 1.0
    if side == 0:
        return 0.0
    return float(2 * stdtr(freedom, -abs(value) / side * stdtrit(freedom, 1 - TAIL)))


def _standard_error(values: Floats) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def _largest(one: Floats, other: Floats) -> float:
    return float(max(np.abs(one).max(), np.abs(other).max()))
