"""What an estimate refuses to hold."""

import dataclasses
import math

import pytest

from faithcheck.estimate import Estimate


def test_an_exact_number_has_an_interval_of_no_width():
    assert Estimate.exact(3, n=7) == Estimate(3, 3, 3, n=7, minimum=0)


def test_infinities_may_say_never_reached():
    assert Estimate(math.inf, 2.0, math.inf, n=6).value == math.inf
    assert Estimate.exact(math.inf, n=1).low == math.inf


@pytest.mark.parametrize("field", ["value", "low", "high"])
def test_a_nan_is_refused_wherever_it_stands(field):
    with pytest.raises(ValueError, match="NaN"):
        Estimate(**{"value": 1.0, "low": 0.0, "high": 2.0, "n": 5, field: math.nan})


def test_an_exact_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        Estimate.exact(math.nan, n=5)


@pytest.mark.parametrize(("low", "high"), [(1.1, 2.0), (0.0, 0.9), (2.0, 0.0)])
def test_a_value_outside_its_interval_is_refused(low, high):
    with pytest.raises(ValueError, match="in its interval"):
        Estimate(1.0, low, high, n=5)


@pytest.mark.parametrize("counts", [{"n": -1}, {"n": 5, "minimum": -1}])
def test_negative_counts_are_refused(counts):
    with pytest.raises(ValueError, match="negative"):
        Estimate(1.0, 0.0, 2.0, **counts)


def test_an_estimate_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Estimate.exact(1.0, n=1).value = 2.0
