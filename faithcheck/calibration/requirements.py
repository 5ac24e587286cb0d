"""The rows of the tables of rates: one check against what is required of it, and all verdicts on one variant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from faithcheck.calibration.rates import Figure, Rate, figures, outcomes, rate_of
from faithcheck.calibration.records import Record, Variant
from faithcheck.verdict import Verdict


@dataclass(frozen=True)
class Requirement:
    """One check against what is required of it."""

    check: str
    figures: Sequence[Figure]

    def to_data(self) -> dict[str, Any]:
        return {"check": self.check, "figures": [figure.to_data() for figure in self.figures]}


def requirement(check: str, records: Sequence[Record], exercising: Collection[str]) -> Requirement:
    """Of the records of one check, those of the reported half count."""
    found = outcomes(record for record in records if record.half == "report")
    return Requirement(check, figures(found, exercising))


@dataclass(frozen=True)
class RateRow:
    """All verdicts of a check on one variant of a family. `wrong`: the rate of PASS of decoys, of FAIL of true ones."""

    check: str
    family: str
    variant: Variant
    counts: Mapping[Verdict, int]
    wrong: Rate

    def to_data(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "family": self.family,
            "variant": self.variant,
            "n": sum(self.counts.values()),
            **{verdict.value: self.counts[verdict] for verdict in Verdict},
            "wrong": {"verdict": wrong_verdict(self.variant).value, **self.wrong.to_data()},
        }


def rate_row(check: str, family: str, variant: Variant, records: Sequence[Record]) -> RateRow:
    verdicts = [record.verdict for record in records]
    counts = {verdict: verdicts.count(verdict) for verdict in Verdict}
    return RateRow(check, family, variant, counts, rate_of(verdicts, wrong_verdict(variant)))


def wrong_verdict(variant: Variant) -> Verdict:
    return Verdict.PASS if variant == "decoy" else Verdict.FAIL
