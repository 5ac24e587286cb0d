"""What other thresholds would have said: recorded verdicts, judged again with one gate moved."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from faithcheck.calibration.rates import Figure, Outcome, figures
from faithcheck.calibration.records import HALVES, Half, Record
from faithcheck.calibration.scan import Span, good_spans
from faithcheck.calibration.settings import Setting, grid, rejudge


@dataclass(frozen=True)
class Row:
    """What one setting of a metric's gate comes to, on each half; `alone`: the decoys that it passes by itself."""

    setting: Setting
    is_default: bool
    halves: Mapping[Half, Sequence[Figure]]
    alone: Mapping[Half, Figure]

    def to_data(self) -> dict[str, Any]:
        halves: dict[str, Any] = {half: [figure.to_data() for figure in found] for half, found in self.halves.items()}
        alone = {half: figure.to_data() for half, figure in self.alone.items()}
        return {"gate": self.setting.text, "default": self.is_default, **halves, "alone": alone}


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of one gated metric of a check.

    `good` are those that meet the requirements on the half to choose on; None where none or too few of the decoys or
    true circuits of families that exercise the check were judged there, so that nothing can be chosen.
    """

    check: str
    metric: str
    default: Setting
    rows: Sequence[Row]
    good: Sequence[Span] | None

    def to_data(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "metric": self.metric,
            "default": self.default.text,
            "rows": [row.to_data() for row in self.rows],
            "good": None if self.good is None else [span.to_data() for span in self.good],
        }


def thresholds(
    check: str, metric: str, gate: str, records: Sequence[Record], exercising: Collection[str]
) -> Thresholds:
    """`records` are all of the check's; `gate` is the metric's default gate."""
    default = Setting.parse(gate)
    rows = [_row(records, metric, s, s == default, exercising) for s in grid(default)]
    chosen_on = [record for record in records if record.half == "choose"]
    return Thresholds(check, metric, default, rows, good_spans(chosen_on, metric, default, exercising))


def _row(
    records: Sequence[Record], metric: str, setting: Setting, is_default: bool, exercising: Collection[str]
) -> Row:
    halves, alone = (
        {half: _figures(records, half, metric, setting, exercising, alone) for half in HALVES}
        for alone in (False, True)
    )
    return Row(setting, is_default, halves, {half: found[0] for half, found in alone.items()})


def _figures(
    records: Sequence[Record], half: Half, metric: str, setting: Setting, exercising: Collection[str], alone: bool
) -> list[Figure]:
    some = [r for r in records if r.half == half]
    return figures([Outcome(r.family, r.variant, rejudge(r, metric, setting, alone)) for r in some], exercising)
