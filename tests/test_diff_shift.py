"""How far a metric moved, and the p-value: by hand, against SciPy, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from faithcheck.diff.shift import (
    beyond,
    independent,
    of_intervals,
    paired,
    paired_draws,
    rank_test,
    widened,
)
from faithcheck.estimate import Estimate
from faithcheck.intervals import bootstrap

INF = math.inf
VALUES = st.lists(st.integers(-50, 50).map(lambda x: x / 8), min_size=2, max_size=6)
CENSORED = st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, INF]), min_size=1, max_size=5)


def numbers(shift):
    return shift.value, shift.low, shift.high, shift.p


def test_paired_differences_have_the_t_interval_of_their_mean():
    # 1, 2, 3: mean 2, standard error 1 / sqrt(3), t(2 degrees, 97.5 %) = 4.30265, two-sided p of 3.4641 is 0.07418
    assert numbers(paired([1, 2, 3], [2, 4, 6])) == pytest.approx((2, -0.48414, 4.48414, 0.07418), abs=1e-5)


def test_other_seeds_have_the_interval_of_welch():
    # means 2 and 6, variances 1 and 4, so the squared error is 5/3 on (5/3)^2 / ((1/3)^2/2 + (4/3)^2/2) = 2.941 degrees
    found, theirs = independent([1, 2, 3], [4, 6, 8]), stats.ttest_ind([4, 6, 8], [1, 2, 3], equal_var=False)
    assert theirs.df == pytest.approx(2.94118, abs=1e-5)
    limits = theirs.confidence_interval()
    assert numbers(found) == pytest.approx((4, limits.low, limits.high, theirs.pvalue), rel=1e-9)


def test_differences_that_are_all_alike_get_the_sign_test_and_no_interval():
    assert numbers(paired([0, 1, 2], [1, 2, 3])) == (1, None, None, 0.25)
    assert numbers(paired([0, 1] * 3, [1, 2] * 3)) == (1, None, None, 1 / 32)


def test_pairs_without_a_spread_on_either_side_get_the_rank_test():
    # complete separation: 2 of the 924 ways to deal six of twelve
    assert numbers(paired([0] * 6, [1] * 6)) == (1, None, None, pytest.approx(2 / 924))
    assert paired([0] * 6, [1] * 6).p == pytest.approx(rank_test([0] * 6, [1] * 6))
    assert independent([0] * 6, [1] * 5).p == pytest.approx(rank_test([0] * 6, [1] * 5))


def test_a_spread_that_is_rounding_is_none():
    assert numbers(paired([1, 1, 1], [0.9, 0.9000001, 0.9])) == (pytest.approx(-0.1), None, None, pytest.approx(0.1))
    assert numbers(independent([1, 1], [1.0000001, 1])) == (0, 0, 0, 1)


def test_sides_without_a_spread_get_the_rank_test_and_no_interval():
    assert numbers(independent([0, 0, 0], [1, 1, 1])) == (1, None, None, pytest.approx(0.1))


def test_the_rank_test_counts_the_ways_to_deal_out_the_values():
    # 3 of 6 can be dealt in 20 ways; two of them are as extreme
    assert rank_test([1, 2, 3], [4, 5, INF]) == pytest.approx(0.1)
    assert rank_test([INF, INF], [INF, INF]) == 1
    # ones have the rank 2, the five infinities 6: 5 of 70 deals have the three ones, rank sum 12, and 5 none, 24
    assert rank_test([1, 1, 1, INF], [INF] * 4) == pytest.approx(10 / 70)


@given(st.permutations(range(9)), st.integers(2, 7))
def test_the_rank_test_is_that_of_mann_and_whitney(order, split):
    theirs = stats.mannwhitneyu(order[:split], order[split:], method="exact").pvalue
    assert rank_test(order[:split], order[split:]) == pytest.approx(theirs)


def test_a_rank_test_of_many_seeds_is_the_normal_approximation():
    one, other = [float(i % 7) for i in range(30)], [float(i % 5) + 1.5 for i in range(25)]
    theirs = stats.mannwhitneyu(one, other, method="asymptotic", use_continuity=True).pvalue
    assert rank_test(one, other) == pytest.approx(theirs, rel=1e-6)


def test_independent_intervals_are_combined_by_their_own_limits():
    found = of_intervals(Estimate(0.5, 0.4, 0.7, 9), Estimate(0.8, 0.6, 0.9, 9))
    assert numbers(found)[:3] == pytest.approx((0.3, 0.3 - math.hypot(0.2, 0.2), 0.3 + math.hypot(0.1, 0.1)))
    # 0 lies 0.3 / 0.28284 half-widths away, a half-width being 1.95996 standard errors
    assert found.p == pytest.approx(2 * stats.norm.sf(1.959964 * 0.3 / math.hypot(0.2, 0.2)), abs=1e-5)


def test_exact_numbers_that_differ_are_beyond_noise_and_equal_ones_are_not():
    assert of_intervals(Estimate(2, 2, 2, 9), Estimate(3, 3, 3, 9)).p == 0
    assert of_intervals(Estimate(2, 2, 2, 9), Estimate(2, 2, 2, 9)).p == 1


def test_an_unbounded_interval_is_never_beyond_noise():
    assert of_intervals(Estimate(1, -INF, INF, 9), Estimate(9, 9, 9, 9)).p == 1


@pytest.mark.parametrize(
    ("other", "p"),
    [
        (Estimate(3, 2, 5, 9), 0.0),
        (Estimate(3, 2, 8, 9), 1.0),
        (Estimate(INF, 9, INF, 9), 1.0),
    ],
)
def test_an_infinite_value_moved_where_the_intervals_lie_apart(other, p):
    assert numbers(of_intervals(Estimate(INF, 8, INF, 9), other)) == (None, None, None, p)


def test_draws_of_the_same_prompts_are_subtracted_draw_by_draw():
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=1030), rng.normal(size=1030) / 50
    base, head = 1 + shared, 1.1 + shared + own
    theirs = bootstrap((head - base)[:1000], (head - base)[1000:], 0.1, 512)
    found = paired_draws(base, head, 0.1, 512, 1000)
    assert numbers(found)[:3] == (0.1, theirs.low, theirs.high)
    assert found.low > 0 > of_intervals(Estimate(1, -1, 3, 9), Estimate(1.1, -0.9, 3.1, 9)).low
    assert found.p < 0.05


def test_noise_of_prompts_is_added_to_that_of_seeds_as_independent():
    found = widened(independent([1, 2, 3], [4, 6, 8]), 2.0, 1.0)
    alone = independent([1, 2, 3], [4, 6, 8])
    assert found.value - found.low == pytest.approx(math.hypot(alone.value - alone.low, 2))
    assert found.high - found.value == pytest.approx(math.hypot(alone.high - alone.value, 1))
    assert found.p >= alone.p


def test_several_comparisons_are_counted_by_holm():
    # 0.005 <= 0.05/4, 0.01 <= 0.05/3, then 0.03 > 0.05/2 ends it
    assert beyond([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert beyond([]) == []
    assert beyond([0.05]) == [True]


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=6))
def test_paired_differences_turn_around_with_the_runs(pairs):
    sides = list(zip(*pairs, strict=True))
    there, back = paired(*sides), paired(*sides[::-1])
    assert there.p == pytest.approx(back.p)
    assert there.value == pytest.approx(-back.value, abs=1e-12)
    if there.low is not None:
        assert there.low == pytest.approx(-back.high, abs=1e-9)


@given(VALUES, VALUES)
def test_differences_over_other_seeds_turn_around_with_the_runs(base, head):
    there, back = independent(base, head), independent(head, base)
    assert there.p == pytest.approx(back.p)
    assert there.value == pytest.approx(-back.value, abs=1e-12)


@given(CENSORED, CENSORED)
def test_the_rank_test_does_not_ask_which_run_is_which(base, head):
    assert rank_test(base, head) == pytest.approx(rank_test(head, base))
    assert 0 < rank_test(base, head) <= 1


@given(VALUES, VALUES)
def test_an_interval_of_95_percent_leaves_out_zero_where_p_is_below_5_percent(base, head):
    found = independent(base, head)
    if found.low is not None and abs(found.p - 0.05) > 1e-9:
        assert (found.low <= 0 <= found.high) is (found.p > 0.05)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_one_comparison_more_never_moves_another_beyond_noise(p_values):
    assert all(a <= b for a, b in zip(beyond([*p_values, 1.0])[:-1], beyond(p_values), strict=True))
