"""Intervals against hand-computed values, and laws they must keep. Their coverage is in test_coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, norm, t

from faithcheck.estimate import Estimate
from faithcheck.gates import Gate
from faithcheck.intervals import bootstrap, difference, ratio_over_seeds, share, unit_weights, weights_without
from faithcheck.verdict import Verdict

INF = math.inf


def limits(estimate):
    return estimate.low, estimate.high


def prompts(values):
    """Strategy for (values, units) of the same length."""
    rows = st.lists(st.tuples(values, st.integers(0, 5)), min_size=1, max_size=40)
    return rows.map(lambda pairs: tuple(np.array(column) for column in zip(*pairs, strict=True)))


class TestUnitWeights:
    @given(units=st.lists(st.integers(-3, 3), min_size=1, max_size=30), seed=st.integers(0, 99))
    def test_rows_sum_to_one_and_are_constant_within_a_unit(self, units, seed):
        weights = unit_weights(np.array(units), draws=7, seed=seed)
        assert weights.shape == (7, len(units))
        assert (weights >= 0).all()
        assert weights.sum(axis=1) == pytest.approx(np.ones(7))
        for unit in set(units):
            columns = weights[:, np.array(units) == unit]
            assert (columns == columns[:, :1]).all()

    def test_a_weight_is_the_multiplicity_of_the_unit_over_the_sum(self):
        # Units A (1 prompt) and B (2 prompts); the two picks are AA, AB or BB: the weights of (A, B, B) are
        # (2, 0, 0) / 2, (1, 1, 1) / 3 or (0, 2, 2) / 4, with probabilities 1/4, 1/2, 1/4.
        weights = unit_weights(["A", "B", "B"], draws=4000, seed=0)
        rows, times = np.unique(weights, axis=0, return_counts=True)
        assert rows == pytest.approx(np.array([[0, 1 / 2, 1 / 2], [1 / 3, 1 / 3, 1 / 3], [1, 0, 0]]))
        assert times / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)

    def test_a_seed_repeats_itself_and_another_does_not(self):
        first, again, other = (unit_weights(range(20), draws=5, seed=s) for s in (1, 1, 2))
        assert (first == again).all()
        assert (first != other).any()

    def test_no_prompts_or_no_draws_are_refused(self):
        with pytest.raises(ValueError, match="at least one prompt"):
            unit_weights([], draws=5, seed=0)
        with pytest.raises(ValueError, match="at least one draw"):
            unit_weights([0, 1], draws=0, seed=0)


class TestWeightsWithout:
    def test_each_row_is_even_over_the_prompts_of_the_other_units(self):
        weights = weights_without(["A", "B", "B", "C"])
        expected = [[0, 1 / 3, 1 / 3, 1 / 3], [1 / 2, 0, 0, 1 / 2], [1 / 3, 1 / 3, 1 / 3, 0]]
        assert weights == pytest.approx(np.array(expected))

    @given(units=st.lists(st.integers(-3, 3), min_size=2, max_size=30).filter(lambda units: len(set(units)) > 1))
    def test_a_row_a_unit_and_rows_sum_to_one(self, units):
        weights = weights_without(units)
        assert weights.shape == (len(set(units)), len(units))
        assert weights.sum(axis=1) == pytest.approx(np.ones(len(weights)))
        assert ((weights == 0) == (np.array(units) == np.unique(units)[:, None])).all()

    def test_a_single_unit_and_no_prompts_are_refused(self):
        with pytest.raises(ValueError, match="at least two units"):
            weights_without([4, 4, 4])
        with pytest.raises(ValueError, match="at least one prompt"):
            weights_without([])


RANKS = np.arange(1001)
"""Draws 0..1000 at positions 0..1000: the limit at level p is the draw 1000 p, rounded outwards."""
EVEN = np.arange(20.0)
"""Jackknife values of 20 units without skewness."""


class TestBootstrap:
    def test_without_skewness_the_limits_are_percentiles_widened_for_few_units(self):
        # 20 units: z = sqrt(20 / 19) t(19, 98.5 %) = 1.025978 x 2.345648 = 2.406584, whose tail is 0.805 %;
        # draws 8.05 and 991.95, rounded outwards.
        assert math.sqrt(20 / 19) * t.ppf(0.985, 19) == pytest.approx(2.406584, abs=1e-6)
        assert norm.sf(2.406584) == pytest.approx(0.00805, abs=1e-5)
        assert bootstrap(RANKS[::-1], EVEN, 480.0, n=50, minimum=9) == Estimate(480.0, 8.0, 992.0, 50, 9)

    def test_more_units_need_less_widening(self):
        # 2000 units: the tail is 1.5 % but for the third digit.
        assert limits(bootstrap(RANKS, np.arange(2000.0), 480.0, n=2000)) == (14.0, 986.0)

    def test_the_limit_on_the_side_of_the_longer_tail_lies_farther_out(self):
        # One of 20 units above 19 others: leaving it out lowers the statistic. With 1 for the others, the influences
        # are 19/20 once and -1/20, and a = (19^3 - 19) / (6 (19^2 + 19)^1.5) = 0.1539. Above, the limit is at
        # z = a + (a + 2.4066) / (1 - a (a + 2.4066)) = 4.38: the greatest draw. Below it stays.
        without = np.array([0.0] + [1.0] * 19)
        assert limits(bootstrap(RANKS, without, 480.0, n=50)) == (8.0, 1000.0)
        assert limits(bootstrap(RANKS, -without, 480.0, n=50)) == (0.0, 992.0)

    def test_the_acceleration_is_a_sixth_of_the_skewness(self):
        # 4 units of influence 2 and 16 of -0.5: a = (4 x 8 - 16 / 8) / (6 (4 x 4 + 16 / 4)^1.5) = 30 / (6 x 89.443)
        # = 0.055902. With s = a + 2.406584, z = a + s / (1 - a s) = 2.911475, whose tail is 0.180 %: draw 998.2.
        without = np.array([-2.0] * 4 + [0.5] * 16)
        s = 0.055902 + 2.406584
        assert norm.sf(0.055902 + s / (1 - 0.055902 * s)) == pytest.approx(0.0018, abs=1e-5)
        for values in (without, without + 7, 1e-200 * without, 1e200 * without):
            assert limits(bootstrap(RANKS, values, 480.0, n=50)) == (8.0, 999.0)

    def test_a_statistic_that_no_single_unit_changes_has_no_skewness(self):
        assert limits(bootstrap(RANKS, np.full(20, 3.0), 480.0, n=50)) == (8.0, 992.0)

    def test_infinite_values_do_not_become_nan(self):
        assert limits(bootstrap([1.0] * 50 + [INF] * 50, EVEN, 1.0, n=10)) == (1.0, INF)
        assert limits(bootstrap(RANKS, [INF, *EVEN[1:]], 480.0, n=50)) == (8.0, 992.0)

    def test_two_units_are_the_fewest_and_give_all_there_is(self):
        assert limits(bootstrap(RANKS, [0.0, 1.0], 480.0, n=50)) == (0.0, 1000.0)
        with pytest.raises(ValueError, match="at least two units"):
            bootstrap(RANKS, [0.0], 480.0, n=50)

    def test_a_value_outside_its_draws_widens_the_interval(self):
        assert limits(bootstrap([1.0, 2.0], EVEN, 3.0, n=10)) == (1.0, 3.0)
        assert limits(bootstrap([1.0, 2.0], EVEN, 0.0, n=10)) == (0.0, 2.0)

    @given(
        draws=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40),
        without=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40),
        value=st.floats(-1e3, 1e3),
    )
    def test_it_holds_the_value_and_mirrors(self, draws, without, value):
        estimate = bootstrap(draws, without, value, n=10)
        mirrored = bootstrap(-np.array(draws), -np.array(without), -value, n=10)
        assert estimate.low <= value <= estimate.high
        assert limits(mirrored) == (-estimate.high, -estimate.low)

    def test_nothing_and_nan_are_refused(self):
        for draws, without, value, n in (
            ([], EVEN, 1.0, 5),
            ([1.0], [], 1.0, 5),
            ([1.0], EVEN, 1.0, 0),
            ([1.0, math.nan], EVEN, 1.0, 5),
            ([1.0], [0.0, math.nan], 1.0, 5),
            ([1.0], EVEN, math.nan, 5),
        ):
            with pytest.raises(ValueError, match=r"at least one|NaN"):
                bootstrap(draws, without, value, n)


class TestShare:
    def test_none_of_twenty(self):
        # The upper limit p solves (1 - p)^20 = 0.025: 1 - 0.025^(1/20) = 0.16843.
        estimate = share([False] * 20, range(20), minimum=5)
        assert limits(estimate) == pytest.approx((0.0, 0.16843), abs=1e-5)
        assert (estimate.value, estimate.n, estimate.minimum) == (0.0, 20, 5)

    def test_all_of_twenty(self):
        assert limits(share([True] * 20, range(20))) == (pytest.approx(0.025 ** (1 / 20)), 1.0)

    def test_one_of_one(self):
        # The lower limit p solves p = 0.025.
        assert limits(share([True], [0])) == (pytest.approx(0.025), 1.0)

    def test_one_of_two(self):
        # (1 - low)^2 = 0.975 and high^2 = 0.975.
        expected = (1 - math.sqrt(0.975), math.sqrt(0.975))
        assert limits(share([True, False], [0, 1])) == pytest.approx(expected)

    def test_units_that_agree_within_count_once(self):
        # Two units of two, all true and all false: rho = 1, deff = 2, so 1 of 2 as above; n stays.
        estimate = share([True, True, False, False], ["a", "a", "b", "b"])
        assert limits(estimate) == pytest.approx((1 - math.sqrt(0.975), math.sqrt(0.975)))
        assert estimate.n == 4

    def test_units_of_unequal_size(self):
        # TT | TFFF: n_eff = 6^2 / (2^2 + 4^2) = 1.8, k_eff = 0.9.
        n, k = 1.8, 0.9
        expected = beta.ppf(0.025, k, n - k + 1), beta.ppf(0.975, k + 1, n - k)
        estimate = share([True, True, True, False, False, False], [0, 0, 1, 1, 1, 1])
        assert limits(estimate) == pytest.approx(expected)

    def test_an_outcome_that_never_varies_counts_once_a_unit(self):
        # 280 prompts of 20 names, none true: the upper limit is that of 0 of 20.
        assert limits(share([False] * 280, np.repeat(range(20), 14))) == pytest.approx((0.0, 0.16843), abs=1e-5)

    def test_a_varying_outcome_in_a_single_unit_counts_as_one_prompt(self):
        # n_eff = 1, k_eff = 0.5: limits of Beta(0.5, 1.5) and Beta(1.5, 0.5).
        expected = beta.ppf(0.025, 0.5, 1.5), beta.ppf(0.975, 1.5, 0.5)
        assert limits(share([True, False] * 50, [0] * 100)) == pytest.approx(expected)

    @given(data=prompts(st.booleans()))
    def test_the_interval_contains_the_share_and_has_a_width(self, data):
        successes, units = data
        estimate = share(successes, units)
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert estimate.low < estimate.high
        assert estimate.value == pytest.approx(successes.mean())

    @given(data=prompts(st.booleans()))
    def test_units_never_narrow_the_interval(self, data):
        successes, units = data
        grouped, single = share(successes, units), share(successes, np.arange(len(units)))
        assert grouped.high - grouped.low >= single.high - single.low - 1e-9

    @given(data=prompts(st.booleans()), order=st.randoms(use_true_random=False))
    def test_the_order_of_the_prompts_does_not_matter(self, data, order):
        successes, units = data
        shuffled = order.sample(range(len(units)), len(units))
        mixed = share(successes[shuffled], units[shuffled])
        assert limits(mixed) == pytest.approx(limits(share(successes, units)))

    @given(data=prompts(st.booleans()))
    def test_failures_mirror_successes(self, data):
        successes, units = data
        hit, miss = share(successes, units), share(~successes, units)
        assert limits(hit) == pytest.approx((1 - miss.high, 1 - miss.low))

    def test_nothing_and_numbers_are_refused(self):
        with pytest.raises(ValueError, match="at least one prompt"):
            share([], [])
        with pytest.raises(ValueError, match="bool"):
            share([0.0, 1.0], [0, 1])
        with pytest.raises(ValueError, match="1 units were given for 2 prompts"):
            share([True, False], [0])


class TestDifference:
    def test_the_limits_combine_by_pythagoras(self):
        # low: 0.4 - hypot(0.6 - 0.3, 0.6 - 0.2) = 0.4 - hypot(0.3, 0.4) = 0.4 - 0.5;
        # high: 0.4 + hypot(0.72 - 0.6, 0.2 - 0.15) = 0.4 + hypot(0.12, 0.05) = 0.4 + 0.13.
        a, b = Estimate(0.6, 0.3, 0.72, n=50, minimum=20), Estimate(0.2, 0.15, 0.6, n=40, minimum=30)
        assert limits(difference(a, b)) == pytest.approx((-0.1, 0.53))

    def test_the_smaller_n_and_the_larger_minimum_count(self):
        gap = difference(Estimate(0, 0, 0, n=50, minimum=20), Estimate(0, 0, 0, n=40, minimum=30))
        assert (gap.n, gap.minimum) == (40, 30)

    def test_two_shares_without_a_single_success_still_have_a_width(self):
        # Both limits come from the idle side: 0 of 20 has the upper limit 0.1684.
        none = share([False] * 20, range(20))
        assert limits(difference(none, none)) == pytest.approx((-0.1684, 0.1684), abs=1e-4)

    def test_an_exact_number_only_moves_the_interval(self):
        a = Estimate(0.5, 0.4, 0.7, n=9)
        assert limits(difference(a, Estimate.exact(0.1, n=9))) == pytest.approx((0.3, 0.6))

    def test_infinity_minus_infinity_is_refused(self):
        never = Estimate.exact(INF, n=6)
        with pytest.raises(ValueError, match="NaN"):
            difference(never, never)

    @given(first=prompts(st.booleans()), second=prompts(st.booleans()))
    def test_it_is_antisymmetrical_and_stays_within_one(self, first, second):
        a, b = share(*first), share(*second)
        there, back = difference(a, b), difference(b, a)
        assert limits(there) == pytest.approx((-back.high, -back.low))
        assert there.low <= there.value <= there.high
        assert there.low >= -1 - 1e-12
        assert there.high <= 1 + 1e-12


class TestRatioOverSeeds:
    def test_six_finite_logs_give_the_t_interval(self):
        # Logs 1..6: mean 3.5, variance 17.5 / 5 = 3.5, standard error sqrt(3.5 / 6) = 0.763763;
        # t(5, 0.975) = 2.570582; half-width 1.963315.
        estimate = ratio_over_seeds([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        expected = math.exp(3.5 - 1.963315), math.exp(3.5 + 1.963315)
        assert limits(estimate) == pytest.approx(expected, rel=1e-5)
        assert (estimate.value, estimate.n, estimate.minimum_to_pass) == (pytest.approx(math.exp(3.5)), 6, 6)

    def test_the_value_is_the_geometric_mean(self):
        assert ratio_over_seeds(np.log([2.0, 8.0])).value == pytest.approx(4.0)

    def test_six_seeds_with_a_censored_one_give_the_smallest_and_the_largest(self):
        # (min, max) of 6 misses the median with probability 2 / 2^6 = 3.1 %.
        estimate = ratio_over_seeds(np.log([9.0, 3.0, INF, 4.0, 16.0, 2.0]))
        assert limits(estimate) == (pytest.approx(2.0), INF)
        assert estimate.value == pytest.approx(6.0)

    @pytest.mark.parametrize(("seeds", "rank"), [(8, 1), (9, 2), (11, 2), (12, 3), (20, 6), (100, 40)])
    def test_the_ranks_are_the_innermost_that_cover_the_median(self, seeds, rank):
        # The pair of ranks 2 misses by one side with P(Binomial(8, 1/2) <= 1) = 9/256 = 3.5 %,
        # too much; for 9 seeds with 10/512 = 2.0 %.
        logs = [*np.log(np.arange(1, seeds)), INF]
        estimate = ratio_over_seeds(logs)
        assert estimate.low == pytest.approx(rank)
        assert estimate.high == pytest.approx(seeds + 1 - rank if rank > 1 else INF)

    def test_a_minority_of_censored_seeds_need_not_reach_the_interval(self):
        estimate = ratio_over_seeds([*np.log([2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]), INF])
        assert limits(estimate) == pytest.approx((3.0, 9.0))

    def test_where_no_seed_reached_the_ratio_is_infinite(self):
        assert ratio_over_seeds([INF] * 6) == Estimate(INF, INF, INF, n=6, minimum=6, minimum_to_pass=6)

    def test_where_half_reached_the_median_is_infinite_and_the_lower_limit_is_not(self):
        estimate = ratio_over_seeds([0.0, 0.0, 0.0, INF, INF, INF])
        assert (estimate.value, *limits(estimate)) == (INF, 1.0, INF)

    def test_fewer_than_six_censored_seeds_keep_both_ends_but_decide_nothing(self):
        # (min, max) of 5 misses the median on one side with probability 1 / 2^5 = 3.1 %.
        estimate = ratio_over_seeds([*np.log([2.0, 3.0]), INF])
        assert limits(estimate) == (pytest.approx(2.0), INF)
        assert (estimate.n, estimate.minimum) == (3, 6)
        assert ratio_over_seeds([-INF] * 5).minimum == 6
        assert Gate.parse(">= 10").judge(ratio_over_seeds([-INF] * 5)) is Verdict.INCONCLUSIVE
        assert Gate.parse(">= 10").judge(ratio_over_seeds([-INF] * 6)) is Verdict.FAIL

    def test_fewer_than_six_finite_seeds_may_fail_a_gate(self):
        assert ratio_over_seeds([0.0, 0.1]).minimum == 0
        assert Gate.parse(">= 10").judge(ratio_over_seeds([0.0, 0.1])) is Verdict.FAIL
        assert Gate.parse("<= 10").judge(ratio_over_seeds([0.0, 0.1])) is Verdict.INCONCLUSIVE

    @pytest.mark.parametrize(("log", "value", "minimum"), [(0.0, 1.0, 0), (INF, INF, 6)])
    def test_a_single_seed_says_nothing_of_the_spread(self, log, value, minimum):
        assert ratio_over_seeds([log]) == Estimate(value, 0.0, INF, 1, minimum, minimum_to_pass=6)

    def test_the_median_between_nothing_and_everything_is_infinite(self):
        estimate = ratio_over_seeds([-INF] * 3 + [INF] * 3)
        assert (estimate.value, *limits(estimate)) == (INF, 0.0, INF)

    def test_a_ratio_of_zero_takes_order_statistics_too(self):
        estimate = ratio_over_seeds([-INF, 0.0, 0.0, 0.0, 0.0, 0.0])
        assert (estimate.value, *limits(estimate)) == (1.0, 0.0, 1.0)

    def test_a_limit_too_large_for_a_float_is_infinite(self):
        assert ratio_over_seeds([0.0, 700.0]).high == INF

    def test_no_seeds_and_nan_are_refused(self):
        with pytest.raises(ValueError, match="at least one seed"):
            ratio_over_seeds([])
        with pytest.raises(ValueError, match="seed 1 is NaN"):
            ratio_over_seeds([0.0, math.nan])

    @given(
        logs=st.lists(st.floats(-50, 50) | st.just(INF), min_size=1, max_size=30),
        order=st.randoms(use_true_random=False),
    )
    def test_the_interval_contains_the_value_in_any_order(self, logs, order):
        estimate = ratio_over_seeds(logs)
        assert estimate.low <= estimate.value <= estimate.high
        mixed = ratio_over_seeds(order.sample(logs, len(logs)))
        assert limits(mixed) == pytest.approx(limits(estimate))

    @settings(deadline=None)
    @given(seeds=st.integers(6, 12), censored=st.integers(1, 12))
    def test_one_more_censored_seed_never_lowers_a_limit(self, seeds, censored):
        censored = min(censored, seeds - 1)
        finite_logs = list(np.linspace(0.0, 1.0, seeds))
        fewer = ratio_over_seeds(finite_logs[: seeds - censored] + [INF] * censored)
        more = ratio_over_seeds(finite_logs[: seeds - censored - 1] + [INF] * (censored + 1))
        assert more.low >= fewer.low
        assert more.high >= fewer.high
