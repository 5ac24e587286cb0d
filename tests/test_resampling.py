"""Bootstrap intervals of statistics of prompt weights."""

import numpy as np
import pytest

from faithcheck.gates import Gate
from faithcheck.resampling import DRAWS, MINIMUM_PROMPTS, Resampling
from faithcheck.verdict import Verdict

UNITS = np.repeat(np.arange(20), 7)  # 20 units of 7 prompts


def test_the_value_is_the_mean_over_all_prompts():
    values = np.arange(140) / 10
    estimate = Resampling(UNITS).mean(values)
    assert estimate.value == pytest.approx(6.95)
    assert (estimate.n, estimate.minimum) == (140, 100)


def test_units_and_prompts_are_counted():
    resampling = Resampling([3, 3, 8, 8, 8])
    assert (resampling.n, resampling.units) == (5, 2)


def test_identical_values_have_an_interval_of_no_width():
    estimate = Resampling(UNITS).mean(np.full(140, 0.25))
    assert (estimate.low, estimate.value, estimate.high) == pytest.approx((0.25, 0.25, 0.25))


def test_whole_units_are_resampled():
    # A value that is 1 in 10 of 20 units: the standard error of the mean is sqrt(0.25 / 20) = 0.112, so about
    # 0.5 -/+ 0.22; were the 140 prompts independent it would be 0.042.
    estimate = Resampling(UNITS).mean((UNITS < 10).astype(float))
    assert estimate.low == pytest.approx(0.5 - 0.22, abs=0.04)
    assert estimate.high == pytest.approx(0.5 + 0.22, abs=0.04)


def test_a_value_that_varies_only_within_units_has_no_error_between_them():
    estimate = Resampling(UNITS).mean(np.tile(np.arange(7.0), 20))
    assert (estimate.low, estimate.high) == pytest.approx((3.0, 3.0))


def test_a_statistic_is_asked_for_the_even_weights_and_for_the_draws():
    shapes = []

    def statistics(weights):
        shapes.append(weights.shape)
        assert weights.sum(1) == pytest.approx(np.ones(len(weights)))
        return {"first": weights[:, 0], "twice": 2 * weights[:, 0]}

    found = Resampling(UNITS).estimates(statistics)
    assert shapes == [(1, 140), (DRAWS, 140)]
    assert found["first"].value == pytest.approx(1 / 140)
    assert found["twice"].high == pytest.approx(2 * found["first"].high)


def test_the_limits_are_the_percentiles_of_the_statistic_over_the_draws():
    # Of 1000 draws 25 lie below the lower limit at most, and 25 above the upper.
    rng, seen = np.random.default_rng(0), {}
    values = rng.normal(size=140)

    def statistics(weights):
        seen[len(weights)] = weights @ values
        return {"square": (weights @ values) ** 2}

    estimate = Resampling(UNITS).estimates(statistics)["square"]
    draws = np.sort(seen[DRAWS] ** 2)
    assert estimate.low == draws[24]
    assert estimate.high == draws[975]


def test_the_order_of_the_prompts_does_not_matter():
    rng = np.random.default_rng(1)
    values, order = rng.normal(size=140), rng.permutation(140)
    one, other = Resampling(UNITS).mean(values), Resampling(UNITS[order]).mean(values[order])
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def test_the_same_prompts_give_the_same_interval():
    values = np.random.default_rng(2).normal(size=140)
    assert Resampling(UNITS).mean(values) == Resampling(UNITS).mean(values)


def test_fewer_than_the_minimum_of_prompts_decides_nothing():
    gate = Gate.parse("<= 1")
    values = np.zeros(140)
    assert gate.judge(Resampling(UNITS).mean(values)) is Verdict.PASS
    few = MINIMUM_PROMPTS - 1
    assert gate.judge(Resampling(UNITS[:few]).mean(values[:few])) is Verdict.INCONCLUSIVE
