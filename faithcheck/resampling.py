"""Intervals of statistics of prompts: whatever can be written as a function of prompt weights is bootstrapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from faithcheck.estimate import Estimate
from faithcheck.intervals import bootstrap, unit_weights

Weights = npt.NDArray[np.float64]
DRAWS = 1000
MINIMUM_UNITS = 12
"""With fewer independent units an interval that resamples them is too narrow to be believed."""
MINIMUM_PROMPTS = 100
_SEED = 0


class Resampling:
    """The bootstrap draws of one set of prompts, by unit. Fixed seed: the same prompts give the same intervals.

    With fewer than MINIMUM_UNITS units the intervals are unbounded, so that no gate can pass or fail on them.
    """

    def __init__(self, units: npt.ArrayLike):
        units = np.asarray(units)
        self.n, self.units = len(units), len(np.unique(units))
        self._draws = unit_weights(units, DRAWS, _SEED)
        self._all = np.full((1, self.n), 1 / self.n)

    def estimates(self, statistics: Callable[[Weights], Mapping[str, Weights]]) -> dict[str, Estimate]:
        """The estimates of named statistics, which map prompt weights float[draw, prompt] to float[draw]."""
        values = statistics(self._all)
        if self.units < MINIMUM_UNITS:
            unknown = {name: (float(value[0]), -np.inf, np.inf) for name, value in values.items()}
            return {name: Estimate(*limits, self.n, MINIMUM_PROMPTS) for name, limits in unknown.items()}
        draws = statistics(self._draws)
        return {name: bootstrap(draws[name], float(values[name][0]), self.n, MINIMUM_PROMPTS) for name in values}

    def mean(self, values: npt.ArrayLike) -> Estimate:
        """The mean of float[prompt]."""
        array = np.asarray(values, dtype=np.float64)
        return self.estimates(lambda weights: {"mean": weights @ array})["mean"]
