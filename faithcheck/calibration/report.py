"""calibration.md: the tables, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from faithcheck.calibration.calibration import Calibration
from faithcheck.calibration.records import HALVES
from faithcheck.calibration.requirements import RateRow, wrong_verdict
from faithcheck.calibration.thresholds import Row
from faithcheck.calibration.wording import figure_text, findings, good_text, limit_text
from faithcheck.text import visible
from faithcheck.verdict import Verdict
from faithcheck.version import __version__

_VARIANTS = """\
A `true` circuit is the one by which a planted model does its task; for a check of a method it is an oracle that returns
that circuit for any labels, so that its size ratios are infinite by construction. A `decoy` reaches the target loss
without being how the model does it; for a check of a method it is a method that finds circuits for what the model does
not do."""
_COUNTS = """\
"k of n" counts instances on which the check gave PASS, FAIL or INCONCLUSIVE, with the exact 95 % interval
(Clopper-Pearson) of the rate."""


def markdown(calibration: Calibration) -> str:
    """The whole file."""
    parts = [
        "# How often the checks are wrong",
        f"`{calibration.command}`, faithcheck {__version__}.",
        _instances(calibration),
        _VARIANTS,
        _COUNTS,
        *_requirements(calibration),
        *_rates(calibration),
        *_thresholds(calibration),
        *_errors(calibration),
    ]
    return visible("\n\n".join(parts) + "\n")


def _instances(calibration: Calibration) -> str:
    asked, families = calibration.asked["instances"], len(calibration.families)
    text = (
        f"{asked} instances of each of {families} {'family' if families == 1 else 'families'} of planted models. Even "
        "seeds are the half on which thresholds may be chosen, odd seeds the half that is reported."
    )
    if calibration.interrupted:
        text += f"\n\n**Interrupted**: {len(calibration.found)} of {asked * families} instances are in this file."
    return text


def _requirements(calibration: Calibration) -> Iterator[str]:
    yield "## Requirements"
    yield (
        "On the half that is reported (odd seeds). The first three figures are of the families that exercise the "
        "check, the last one of all others. Whether a figure is met is decided by the observed rate."
    )
    if calibration.requirements:
        heads = [f"{f.name} ({limit_text(f)})" for f in calibration.requirements[0].figures]
        rows = [[r.check, *map(figure_text, r.figures)] for r in calibration.requirements]
        yield _table(["check", *heads], rows)
    yield "\n".join(f"- {line}" for line in findings(calibration)) or "Every figure is met."


def _rates(calibration: Calibration) -> Iterator[str]:
    yield "## All verdicts"
    yield "Over all instances. The last column is the rate of the wrong verdict: a decoy's PASS, a true circuit's FAIL."
    heads = ["check", "family", "variant", "n", *(verdict.value for verdict in Verdict), "wrong"]
    yield _table(heads, [_rate_cells(row, calibration) for row in calibration.rates])
    yield "*: the family exercises the check. Decoys of other families may well pass."


def _rate_cells(row: RateRow, calibration: Calibration) -> list[str]:
    star = "*" if row.family in calibration.exercising(row.check) else ""
    counts = [str(row.counts[verdict]) for verdict in Verdict]
    wrong = f"{wrong_verdict(row.variant).value} {row.wrong.text}" if row.wrong.n else "not measured"
    return [row.check, f"{row.family}{star}", row.variant, str(sum(row.counts.values())), *counts, wrong]


def _thresholds(calibration: Calibration) -> Iterator[str]:
    yield "## Thresholds"
    yield (
        "The verdicts judged again with one gate moved and the others as they are, on the families that exercise the "
        "check. Verdicts that gates did not make stay. A threshold may be chosen on the left half only. Alone: the "
        "decoys that would pass if the check had no other gate."
    )
    for table in calibration.thresholds:
        yield f"### {table.check}: {table.metric}"
        names = [figure.name for figure in table.rows[0].halves[HALVES[0]][:3]]
        heads = [f"{half}: {name}" for half in HALVES for name in (*names, "alone")]
        yield _table(["gate", *heads], [_threshold_cells(row) for row in table.rows])
        yield good_text(table)


def _threshold_cells(row: Row) -> list[str]:
    gate = f"`{row.setting.text}`{' (default)' if row.is_default else ''}"
    rates = [figure.rate for half in HALVES for figure in (*row.halves[half][:3], row.alone[half])]
    return [gate, *(f"{rate.k} of {rate.n}" for rate in rates)]


def _errors(calibration: Calibration) -> Iterator[str]:
    if not calibration.errors:
        return
    yield "## Errors"
    lines = [f"- {r.family}, seed {r.seed}, {r.variant}, {r.check}: {r.reason}" for r in calibration.errors]
    yield "\n".join(" ".join(line.split()) for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
