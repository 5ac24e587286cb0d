"""Gates: what an estimate must satisfy. Free of numpy, which `faithcheck validate` cannot wait for."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from faithcheck.errors import did_you_mean
from faithcheck.estimate import Estimate
from faithcheck.verdict import Verdict

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}
_FORM = (
    f"a gate is OP EXPR: OP one of {', '.join(_COMPARE)}; EXPR a number, a name, or a name +/- a number; "
    "e.g. '<= 0.1' or '<= target_loss + 0.1'"
)
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_GATE = re.compile(
    rf"\s*(?P<op>[<>=]=|[<>])\s*(?:(?P<number>[+-]?{_NUMBER})"
    rf"|(?P<name>[A-Za-z_]\w*)(?:\s*(?P<sign>[+-])\s*(?P<offset>{_NUMBER}))?)\s*",
    re.ASCII,
)
_ABSURD = 1e6


@dataclass(frozen=True)
class Gate:
    """A comparison with a finite bound. `text` is what the user wrote, `resolved` what it came to."""

    text: str
    op: str
    bound: float

    @classmethod
    def parse(cls, text: str, /, **constants: float) -> Gate:
        """`"<= target_loss + 0.1"` with the constant `target_loss=0.15` -> bound 0.25.

        Raises ValueError, with what was found and the allowed form, on other text, unknown names and bounds
        that are not finite.
        """
        match = _GATE.fullmatch(text)
        if match is None:
            raise ValueError(f"found {text!r}; {_FORM}")
        bound = _bound(match, constants)
        if not math.isfinite(bound):
            raise ValueError(f"found {text!r}, whose bound is {bound:g}; a gate needs a finite bound")
        return cls(text, match["op"], bound)

    @property
    def resolved(self) -> str:
        """The gate with its bound as a number, e.g. `"<= 0.25"`."""
        return f"{self.op} {self.bound:g}"

    def judge(self, estimate: Estimate) -> Verdict:
        """PASS where the whole interval satisfies the gate, FAIL where none of it does, else INCONCLUSIVE.

        INCONCLUSIVE below the estimate's minimum n, and for a PASS below its minimum to pass. Raises nothing.
        """
        if estimate.n < estimate.minimum:
            return Verdict.INCONCLUSIVE
        if self._holds(estimate.low) and self._holds(estimate.high):
            return Verdict.PASS if estimate.n >= estimate.minimum_to_pass else Verdict.INCONCLUSIVE
        return Verdict.INCONCLUSIVE if self._possible(estimate) else Verdict.FAIL

    def settle(self, estimate: Estimate, noun: str = "prompts") -> str:
        """What would turn an INCONCLUSIVE into a verdict, as a phrase; empty where there is a verdict.

        A guess: half-widths shrink with 1 / sqrt(n), so that the limit beyond the gate reaches it at
        n * (|limit - value| / |bound - value|)^2.
        """
        if self.judge(estimate) is not Verdict.INCONCLUSIVE:
            return ""
        if estimate.n < estimate.minimum:
            return f"needs at least {estimate.minimum:,} {noun}, had {estimate.n:,}"
        if self._holds(estimate.low) and self._holds(estimate.high):
            return f"needs at least {estimate.minimum_to_pass:,} {noun} to pass, had {estimate.n:,}"
        needed, had = _needed(estimate, self.bound), estimate.n
        if math.isnan(needed):
            return f"the interval is unbounded; how many more {noun} would settle it cannot be said"
        if needed > _ABSURD:
            return "the estimate lies on the gate; more data may not settle it"
        return f"about {_rounded_up(needed, had):,} {noun} would probably settle it (had {had:,})"

    def _holds(self, value: float) -> bool:
        return _COMPARE[self.op](value, self.bound)

    def _possible(self, estimate: Estimate) -> bool:
        if self.op == "==":
            return estimate.low <= self.bound <= estimate.high
        return self._holds(estimate.low) or self._holds(estimate.high)


def _bound(match: re.Match[str], constants: Mapping[str, float]) -> float:
    if match["number"]:
        return float(match["number"])
    offset = float(f"{match['sign']}{match['offset']}") if match["sign"] else 0.0
    return _constant(match["name"], match.string, constants) + offset


def _constant(name: str, text: str, constants: Mapping[str, float]) -> float:
    if name in constants:
        return constants[name]
    if name.lower() in ("inf", "infinity", "nan"):
        return float(name)
    known = ", ".join(sorted(constants)) or "none"
    hint = did_you_mean(name, constants)
    raise ValueError(f"found {text!r}, with the unknown name {name!r}{hint} (known names: {known}); {_FORM}")


def _needed(estimate: Estimate, bound: float) -> float:
    """The n at which the limit beyond the bound reaches it; inf on the bound, NaN for infinite intervals."""
    limit = estimate.high if estimate.value < bound else estimate.low
    gap = abs(estimate.value - bound)
    if gap == 0:
        return math.inf
    if not (math.isfinite(estimate.value) and math.isfinite(limit)):
        return math.nan
    ratio = abs(limit - estimate.value) / gap
    return estimate.n * ratio * ratio


def _rounded_up(needed: float, had: int) -> int:
    """Two leading digits, and more than there were."""
    least = max(math.ceil(needed), had + 1)
    step: int = 10 ** max(0, len(str(least)) - 2)
    return math.ceil(least / step) * step
