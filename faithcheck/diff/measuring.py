"""How far a metric moved from one run to the other, held against the noise that there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

from faithcheck.diff.compared import Compared, levels, logs
from faithcheck.diff.run import Run
from faithcheck.diff.seeds import Matched, Noise, Seed, match
from faithcheck.diff.shift import (
    NO_SHIFT,
    ROUNDING,
    Floats,
    Shift,
    independent,
    of_intervals,
    paired,
    paired_draws,
    rank_test,
    widened,
)
from faithcheck.diff.values import Name, Values
from faithcheck.estimate import Estimate
from faithcheck.resampling import DRAWS


def compare(name: Name, base: Run, head: Run) -> Compared:
    """Of a metric that both runs measured."""
    one, other = base.values(name), head.values(name)
    matched = match(one.by_seed, other.by_seed)
    if one.whole and other.whole and (matched.noise in (Noise.PROMPTS, Noise.UNKNOWN)):
        return _of_wholes(name, base, head, one, other)
    alike = _alike(levels(name, one, matched.base), levels(name, other, matched.head), matched.noise)
    shift, independently = _shift(name, base, head, one, other, matched, alike)
    return Compared(name, one, other, matched, _bounded(shift), alike, independently)


def _of_wholes(name: Name, base: Run, head: Run, one: Values, other: Values) -> Compared:
    """Of one number about all seeds, whose interval has the noise of seeds in it; without a width the noise is
    unknown."""
    matched = match(base.seeds(name.task), head.seeds(name.task))
    assert one.whole
    assert other.whole
    sides = logs(name, one.whole), logs(name, other.whole)
    alike = _alike([sides[0].value], [sides[1].value], matched.noise)
    known = any(side.high > side.low for side in sides)
    shift = NO_SHIFT if alike else of_intervals(*sides) if known else None
    return Compared(name, one, other, matched, _bounded(shift), alike, independently=True, is_whole=True)


def _bounded(shift: Shift | None) -> Shift | None:
    """None where the interval is unbounded on the side of 0, as that of few units is: nothing is known then."""
    if shift is None or shift.value is None:
        return shift
    side = shift.low if shift.value > 0 else shift.high
    return None if side is not None and math.isinf(side) else shift


def _shift(
    name: Name, base: Run, head: Run, one: Values, other: Values, matched: Matched, alike: bool
) -> tuple[Shift | None, bool]:
    """And whether intervals were combined as independent."""
    if alike:
        return NO_SHIFT, False
    if matched.noise is Noise.UNKNOWN:
        return None, False
    same_prompts = base.has_prompts_of(head, name.task) and _numbers(one, matched.base) == _numbers(other, matched.head)
    if matched.noise is Noise.PROMPTS:
        return _over_prompts(name, base, head, matched.base[0], same_prompts)
    values = levels(name, one, matched.base), levels(name, other, matched.head)
    if not all(map(math.isfinite, (*values[0], *values[1]))):
        return Shift(None, None, None, rank_test(*values), counted=True), False
    if not same_prompts:
        sides = _prompt_limits(name, one, matched.base), _prompt_limits(name, other, matched.head)
        over_prompts = of_intervals(Estimate(0.0, *sides[0], 0), Estimate(0.0, *sides[1], 0))
        assert over_prompts.low is not None
        assert over_prompts.high is not None
        return widened(independent(*values), -over_prompts.low, over_prompts.high), True
    return (paired if matched.noise is Noise.PAIRED_SEEDS else independent)(*values), False


def _over_prompts(name: Name, base: Run, head: Run, seed: Seed, same_prompts: bool) -> tuple[Shift, bool]:
    """One circuit in each run."""
    one, other = base.values(name), head.values(name)
    intervals = logs(name, one.by_seed[seed]), logs(name, other.by_seed[seed])
    draws = (base.draws(name, seed), head.draws(name, seed)) if same_prompts else (None, None)
    value = intervals[1].value - intervals[0].value
    if math.isfinite(value) and _are_paired(draws):
        return paired_draws(*draws, value, intervals[0].n, DRAWS), False
    exact = all(side.low == side.high for side in intervals)
    return of_intervals(*intervals), not exact


def _are_paired(draws: tuple[Floats | None, Floats | None]) -> TypeGuard[tuple[Floats, Floats]]:
    """Whether both runs have draws, of as many units, at least two."""
    one, other = draws
    return one is not None and other is not None and len(one) == len(other) > DRAWS + 1


def _numbers(values: Values, seeds: Sequence[Seed]) -> set[int]:
    """How many prompts: other models may be asked others of a task, say, those on which the model is sure."""
    return {values.by_seed[seed].n for seed in seeds}


def _prompt_limits(name: Name, values: Values, seeds: Sequence[Seed]) -> tuple[float, float]:
    """How far the limits lie below (negative) and above the values, on average over circuits.

    As if what prompts do to one circuit they did to all.
    """
    intervals = [logs(name, values.by_seed[seed]) for seed in seeds]
    below = math.fsum(side.low - side.value for side in intervals) / len(intervals)
    return below, math.fsum(side.high - side.value for side in intervals) / len(intervals)


def _alike(base: Sequence[float], head: Sequence[float], noise: Noise) -> bool:
    """Whether the values are the same but for rounding; in any order where the seeds are others."""
    if noise is Noise.OTHER_SEEDS:
        base, head = sorted(base), sorted(head)
    pairs = zip(base, head, strict=False)
    return len(base) == len(head) and all(math.isclose(a, b, rel_tol=ROUNDING, abs_tol=1e-9) for a, b in pairs)
