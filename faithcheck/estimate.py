"""A measured number with its uncertainty: the only thing a gate judges."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Estimate:
    """One number with its 95 % interval.

    `value`, `low` and `high` may be `math.inf` ("never reached"); `n` counts prompts, or seeds where each
    seed gives one value. Below `minimum` of them every gate is INCONCLUSIVE, and below
    `minimum_to_pass` none is a PASS. `draws`, where the interval is a bootstrap's: the value in each of its
    draws, then without each unit, float[draw + unit]; runs on the same prompts pair by them.

    Raises ValueError on a NaN, on `value` outside [`low`, `high`] and on a negative count.
    """

    value: float
    low: float
    high: float
    n: int
    minimum: int = 0
    minimum_to_pass: int = 0
    draws: npt.NDArray[np.float64] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if any(math.isnan(x) for x in (self.value, self.low, self.high)):
            raise ValueError(f"an estimate must not hold a NaN: {self}")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"an estimate's value must lie in its interval: {self}")
        if min(self.n, self.minimum, self.minimum_to_pass) < 0:
            raise ValueError(f"an estimate's counts must not be negative: {self}")

    @classmethod
    def exact(cls, value: float, n: int) -> Estimate:
        """A number without sampling error, such as a count over all nodes: low = high = value."""
        return cls(value, value, value, n)
