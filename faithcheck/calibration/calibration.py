"""What a calibration found, and its two files: calibration.json with everything, calibration.md with the tables."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from faithcheck.calibration.population import CheckEntry, FamilyEntry
from faithcheck.calibration.records import VARIANTS, Instance, Record
from faithcheck.calibration.requirements import RateRow, Requirement, rate_row, requirement
from faithcheck.calibration.thresholds import Thresholds, thresholds
from faithcheck.errors import Location, UserError
from faithcheck.files import cannot_write, make_folder, write_whole
from faithcheck.verdict import Verdict
from faithcheck.version import __version__

SCHEMA = "faithcheck.calibration/1"
FILES = ("calibration.json", "calibration.md")


@dataclass(frozen=True)
class Calibration:
    """`asked`: the arguments `instances`, `checks` and `families`. `found` is ordered by family and seed.

    An interrupted one holds the instances that were finished.
    """

    families: Sequence[FamilyEntry]
    checks: Sequence[CheckEntry]
    asked: Mapping[str, Any]
    found: Sequence[Instance]
    interrupted: bool = False

    @cached_property
    def records(self) -> list[Record]:
        return [record for instance in self.found for record in instance.records]

    @property
    def errors(self) -> list[Record]:
        return [record for record in self.records if record.verdict is Verdict.ERROR]

    @property
    def passed_decoys(self) -> list[Record]:
        """Decoys that passed a check that their family exercises: false PASSes."""
        return [
            record
            for record in self.records
            if (record.variant, record.verdict) == ("decoy", Verdict.PASS)
            and record.family in self.exercising(record.check)
        ]

    @property
    def exit_code(self) -> int:
        """130 interrupted, 3 something raised, 1 a decoy passed a check that its family exercises, 4 too few instances
        got a verdict to tell, else 0."""
        if self.interrupted:
            return 130
        if self.errors:
            return 3
        if self.passed_decoys:
            return 1
        figures = [figure for requirement in self.requirements for figure in requirement.figures]
        return 4 if any(figure.met is None and figure.unjudged for figure in figures) else 0

    def exercising(self, check: str) -> list[str]:
        """The families that exercise a check."""
        return [family.name for family in self.families if check in family.exercises]

    @property
    def exercised(self) -> list[CheckEntry]:
        """The checks of this calibration that some family exercises."""
        return [check for check in self.checks if self.exercising(check.name)]

    @cached_property
    def requirements(self) -> list[Requirement]:
        """One a check that some family exercises, on the half to report."""
        return [requirement(c.name, self.records_of(c.name), self.exercising(c.name)) for c in self.exercised]

    @cached_property
    def rates(self) -> list[RateRow]:
        """Check x family x variant, over all instances, where there is any record."""
        rows = []
        for check in self.checks:
            for family in self.families:
                for variant in VARIANTS:
                    of = [r for r in self.records_of(check.name) if (r.family, r.variant) == (family.name, variant)]
                    rows += [rate_row(check.name, family.name, variant, of)] if of else []
        return rows

    @cached_property
    def thresholds(self) -> list[Thresholds]:
        """One a gated metric of a check that some family exercises."""
        return [
            thresholds(check.name, metric, gate, self.records_of(check.name), self.exercising(check.name))
            for check in self.exercised
            for metric, gate in check.gates.items()
        ]

    def records_of(self, check: str) -> list[Record]:
        return [record for record in self.records if record.check == check]

    @property
    def command(self) -> str:
        """The command that gives these files, but for where they are written."""
        words = ["faithcheck", "calibrate", "--instances", str(self.asked["instances"])]
        for option, key in (("--check", "checks"), ("--family", "families")):
            words += [word for name in self.asked[key] or () for word in (option, name)]
        return shlex.join(words)

    def to_data(self) -> dict[str, Any]:
        """The content of calibration.json."""
        return {
            "schema": SCHEMA,
            "faithcheck": __version__,
            "arguments": dict(self.asked),
            "interrupted": self.interrupted,
            "families": [vars(family) for family in self.families],
            "checks": [vars(check) for check in self.checks],
            "instances": [instance.to_data() for instance in self.found],
            "records": [record.to_data() for record in self.records],
            "tables": {
                "requirements": [requirement.to_data() for requirement in self.requirements],
                "rates": [row.to_data() for row in self.rates],
                "thresholds": [table.to_data() for table in self.thresholds],
            },
        }

    def write(self, out: Path) -> list[Path]:
        """Write both files into a folder, each whole or not at all; their paths. UserError where that cannot be."""
        from faithcheck.calibration.report import markdown

        prepare(out)
        data = json.dumps(self.to_data(), indent=1, allow_nan=False) + "\n"
        for name, text in zip(FILES, (data, markdown(self)), strict=True):
            try:
                write_whole(out / name, text)
            except OSError as error:
                raise cannot_write(out / name, "a calibration", error) from None
        return [out / name for name in FILES]


def prepare(out: Path) -> None:
    """Make the folder. Raises UserError where it cannot be made, or one of the files could not be written."""
    make_folder(out, "a calibration")
    for name in FILES:
        if (out / name).is_dir():
            raise UserError("cannot write a calibration there: it is a folder", Location(str(out / name)))
        trial = out / f"{name}.partial"
        try:
            trial.touch()
            trial.unlink()
        except OSError as error:
            raise cannot_write(trial, "a calibration", error) from None
