"""Bootstrap intervals of statistics of prompt weights."""

import numpy as np
import pytest

from faithcheck.gates import Gate
from faithcheck.intervals import bootstrap
from faithcheck.resampling import DRAWS, MINIMUM_PROMPTS, MINIMUM_UNITS, Resampling
from faithcheck.verdict import Verdict

UNITS = np.repeat(np.arange(20), 10)  # 20 units of 10 prompts


def test_the_value_is_the_mean_over_all_prompts():
    values = np.arange(200) / 10
    estimate = Resampling(UNITS).mean(values)
    assert estimate.value == pytest.approx(9.95)
    assert (estimate.n, estimate.minimum) == (200, MINIMUM_PROMPTS)


def test_units_and_prompts_are_counted():
    resampling = Resampling([3, 3, 8, 8, 8])
    assert (resampling.n, resampling.units) == (5, 2)


def test_identical_values_have_an_interval_of_no_width():
    estimate = Resampling(UNITS).mean(np.full(200, 0.25))
    assert (estimate.low, estimate.value, estimate.high) == pytest.approx((0.25, 0.25, 0.25))


def test_whole_units_are_resampled():
    # A value that is 1 in 10 of 20 units: the standard error of the mean is sqrt(0.25 / 20) = 0.112, so about
    # 0.5 -/+ 2.41 x 0.112 = 0.27; were the 200 prompts independent it would be 0.08.
    estimate = Resampling(UNITS).mean((UNITS < 10).astype(float))
    assert estimate.low == pytest.approx(0.5 - 0.27, abs=0.04)
    assert estimate.high == pytest.approx(0.5 + 0.27, abs=0.04)


def test_a_value_that_varies_only_within_units_has_no_error_between_them():
    estimate = Resampling(UNITS).mean(np.tile(np.arange(10.0), 20))
    assert (estimate.low, estimate.high) == pytest.approx((4.5, 4.5))


def test_a_statistic_is_asked_for_the_even_weights_and_once_for_draws_and_left_out_units():
    shapes = []

    def statistics(weights):
        shapes.append(weights.shape)
        assert weights.sum(1) == pytest.approx(np.ones(len(weights)))
        return {"first": weights[:, 0], "twice": 2 * weights[:, 0]}

    found = Resampling(UNITS).estimates(statistics)
    assert shapes == [(1, 200), (DRAWS + 20, 200)]
    assert found["first"].value == pytest.approx(1 / 200)
    assert found["twice"].high == pytest.approx(2 * found["first"].high)


def test_the_limits_are_those_of_the_statistic_over_draws_and_left_out_units():
    values, seen = np.random.default_rng(0).exponential(size=200), []

    def statistics(weights):
        seen.append((weights @ values) ** 2)
        return {"square": seen[-1]}

    estimate = Resampling(UNITS).estimates(statistics)["square"]
    draws, without = seen[1][:DRAWS], seen[1][DRAWS:]
    assert without == pytest.approx([values[unit != UNITS].mean() ** 2 for unit in range(20)])
    assert estimate == bootstrap(draws, without, float(seen[0][0]), 200, MINIMUM_PROMPTS)
    # 8.05 of 1000 draws lie below the lower limit; above, where the tail is longer, fewer.
    assert estimate.low == np.sort(draws)[8]
    assert estimate.high > np.sort(draws)[-9]


def test_the_order_of_the_prompts_does_not_matter():
    rng = np.random.default_rng(1)
    values, order = rng.normal(size=200), rng.permutation(200)
    one, other = Resampling(UNITS).mean(values), Resampling(UNITS[order]).mean(values[order])
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def test_the_same_prompts_give_the_same_interval():
    values = np.random.default_rng(2).normal(size=200)
    assert Resampling(UNITS).mean(values) == Resampling(UNITS).mean(values)


def test_fewer_than_the_minimum_of_prompts_decides_nothing():
    units = np.arange(MINIMUM_PROMPTS) % MINIMUM_UNITS
    gate, values = Gate.parse("<= 1"), np.zeros(len(units))
    assert gate.judge(Resampling(units).mean(values)) is Verdict.PASS
    assert gate.judge(Resampling(units[1:]).mean(values[1:])) is Verdict.INCONCLUSIVE


def test_fewer_than_the_minimum_of_units_decides_nothing():
    units = np.arange(10 * MINIMUM_PROMPTS) % (MINIMUM_UNITS - 1)
    estimate = Resampling(units).mean(np.full(len(units), 0.25))
    assert (estimate.value, estimate.low, estimate.high) == (pytest.approx(0.25), -np.inf, np.inf)


def test_a_single_unit_has_a_value():
    assert Resampling([5, 5]).mean([1.0, 2.0]).value == pytest.approx(1.5)


def test_a_statistic_that_is_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        Resampling(UNITS).mean(np.full(200, np.nan))
