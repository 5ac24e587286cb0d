"""What is known of every verdict: enough to judge it again at other thresholds. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from faithcheck.calibration.population import CheckEntry, FamilyEntry
from faithcheck.estimate import Estimate
from faithcheck.gates import Gate
from faithcheck.verdict import Verdict

Variant = Literal["true", "decoy"]
VARIANTS: tuple[Variant, ...] = ("true", "decoy")
Half = Literal["choose", "report"]
HALVES: tuple[Half, ...] = ("choose", "report")


@dataclass(frozen=True)
class Unit:
    """What is run at a time: the checks on one instance of a family."""

    family: FamilyEntry
    seed: int
    checks: tuple[CheckEntry, ...]

    @property
    def weight(self) -> float:
        """About how long it takes: a method that really extracts, for six seeds and their controls, takes far longer
        than all checks of a circuit."""
        family = self.family
        exercised = any(check.is_method_scope and check.name in family.exercises for check in self.checks)
        return 30.0 if family.method_scope and family.decoy_method and exercised else 1.0


@dataclass(frozen=True)
class Gated:
    """A gated metric, as its gate judged it; `on`: a shift or a norm."""

    metric: str
    on: str | None
    estimate: Estimate
    gate: Gate
    verdict: Verdict

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data. An infinite number is null, and `infinite` has its sign (1 or -1) by name."""
        numbers = {"estimate": self.estimate.value, "low": self.estimate.low, "high": self.estimate.high}
        infinite = {name: int(math.copysign(1, value)) for name, value in numbers.items() if math.isinf(value)}
        return {
            "metric": self.metric,
            **({} if self.on is None else {"on": self.on}),
            **{name: None if name in infinite else value for name, value in numbers.items()},
            **({"infinite": infinite} if infinite else {}),
            "n": self.estimate.n,
            "minimum": self.estimate.minimum,
            "minimum_to_pass": self.estimate.minimum_to_pass,
            "gate": self.gate.text,
            "bound": self.gate.bound,
            "verdict": self.verdict.value,
        }


@dataclass(frozen=True)
class Record:
    """One verdict. `by_gates`: whether the gates made it; else the check overrode them, did not apply, or crashed.

    `target_loss` is the instance's, which gates may refer to. `details` is the traceback of an ERROR.
    """

    family: str
    seed: int
    variant: Variant
    check: str
    verdict: Verdict
    reason: str
    by_gates: bool = False
    gated: Sequence[Gated] = ()
    target_loss: float = math.nan
    details: str = ""

    @property
    def half(self) -> Half:
        return half_of(self.seed)

    def to_data(self) -> dict[str, Any]:
        return {
            "family": self.family,
            "seed": self.seed,
            "variant": self.variant,
            "check": self.check,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "by_gates": self.by_gates,
            "gated": [gated.to_data() for gated in self.gated],
            **({"details": self.details} if self.details else {}),
        }


@dataclass(frozen=True)
class Instance:
    """All that one unit gave. `error` says why it could not be planted, where it could not."""

    family: str
    seed: int
    records: Sequence[Record]
    target_loss: float | None = None
    drawn: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None

    def to_data(self) -> dict[str, Any]:
        """What calibration.json says of the instance, beside its records."""
        return {
            "family": self.family,
            "seed": self.seed,
            "half": half_of(self.seed),
            "target_loss": self.target_loss,
            "drawn": dict(self.drawn),
            **({"error": self.error} if self.error else {}),
        }


def half_of(seed: int) -> Half:
    """Thresholds may be chosen on even seeds, rates are reported on odd ones."""
    return "choose" if seed % 2 == 0 else "report"


def failed(unit: Unit, reason: str, details: str = "") -> Instance:
    """An instance of which nothing is known: ERRORs of its true circuit, and of its decoy where one was asked for."""
    checks = [check for check in unit.checks if unit.family.runs(check)]
    asked = [check for check in checks if check.name in unit.family.exercises]
    records = errors(unit, "true", checks, reason, details) + errors(unit, "decoy", asked, reason, details)
    return Instance(unit.family.name, unit.seed, records, error=reason)


def errors(unit: Unit, variant: Variant, checks: Sequence[CheckEntry], reason: str, details: str) -> list[Record]:
    return [
        Record(unit.family.name, unit.seed, variant, check.name, Verdict.ERROR, reason, details=details)
        for check in checks
    ]
