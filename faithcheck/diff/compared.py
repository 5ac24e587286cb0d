"""A metric that two runs measured, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from faithcheck.diff.seeds import Matched, Seed
from faithcheck.diff.shift import Shift, midranks
from faithcheck.diff.values import Name, Values
from faithcheck.estimate import Estimate
from faithcheck.gates import Gate
from faithcheck.verdict import Verdict

_SLIGHT = 1e-3
"""Of a value. One circuit on the same prompts may have hardly any noise: leaving out ten nodes that do nothing moved a
distance of 0.634 by 0.00002 [0.00002, 0.00003]."""


class Move(Enum):
    """What became of a metric."""

    SAME = "same"
    WITHIN = "within noise"
    BETTER = "better"
    WORSE = "worse"
    MOVED = "moved"
    UNKNOWN = "noise unknown"


@dataclass(frozen=True)
class Compared:
    """A metric in both runs. `shift` is None where the noise is unknown; of a ratio it is that of the logs.

    `alike`: the values do not differ but for rounding. `independently`: the intervals were combined as if they were
    measured on other prompts. `is_whole`: it is one number about all seeds. `is_beyond`: it is beyond noise, once all
    comparisons are counted.
    """

    name: Name
    base: Values
    head: Values
    matched: Matched
    shift: Shift | None
    alike: bool
    independently: bool = False
    is_whole: bool = False
    is_beyond: bool = False

    @property
    def gate(self) -> Gate | None:
        """That of HEAD, or of BASE where HEAD has none."""
        return self.head.gate or self.base.gate

    @property
    def holds(self) -> bool:
        """Whether HEAD's gate holds on all its circuits."""
        return self.head.verdict is Verdict.PASS

    @cached_property
    def move(self) -> Move:
        if self.alike:
            return Move.SAME
        if self.shift is None:
            return Move.UNKNOWN
        if not self.is_beyond or self._is_slight:
            return Move.WITHIN
        worse = 0.0 if self.gate is None else self._worsening(self.gate)
        return Move.WORSE if worse > 0 else Move.BETTER if worse < 0 else Move.MOVED

    @property
    def _is_slight(self) -> bool:
        """Whether so little that it does not matter, however sure it is."""
        if self.shift is None or self.shift.value is None:
            return False
        sides = self._levels(self.base, self.matched.base), self._levels(self.head, self.matched.head)
        largest = 1.0 if self.name.is_ratio else max(abs(centre(side)) for side in sides)
        return abs(self.shift.value) < _SLIGHT * largest

    def _worsening(self, gate: Gate) -> float:
        """How much worse HEAD is on average; where a value is infinite, in ranks."""
        base, head = (
            [_badness(level, self.name, gate) for level in self._levels(*side)]
            for side in ((self.base, self.matched.base), (self.head, self.matched.head))
        )
        if not all(map(math.isfinite, (*base, *head))):
            ranks = midranks([*base, *head]).tolist()
            base, head = ranks[: len(base)], ranks[len(base) :]
        return centre(head) - centre(base)

    def _levels(self, values: Values, seeds: Sequence[Seed]) -> list[float]:
        if self.is_whole and values.whole is not None:
            return [logs(self.name, values.whole).value]
        return levels(self.name, values, seeds)


def levels(name: Name, values: Values, seeds: Sequence[Seed]) -> list[float]:
    """The values of some circuits; of a ratio their logs."""
    found = [values.by_seed[seed].value for seed in seeds]
    return [_log(value) for value in found] if name.is_ratio else found


def centre(values: Sequence[float]) -> float:
    """The mean."""
    return math.fsum(values) / len(values)


def logs(name: Name, found: Estimate) -> Estimate:
    """Of a ratio; anything else as it is."""
    if not name.is_ratio:
        return found
    return Estimate(_log(found.value), _log(found.low), _log(found.high), found.n)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _badness(level: float, name: Name, gate: Gate) -> float:
    """Greater is worse by the gate."""
    if gate.op == "==":
        return abs((math.exp(level) if name.is_ratio else level) - gate.bound)
    return level if gate.op in ("<=", "<") else -level
