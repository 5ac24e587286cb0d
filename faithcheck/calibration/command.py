"""`faithcheck calibrate`: progress, a short table, and where the files are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from faithcheck.calibration.calibration import Calibration, prepare
from faithcheck.calibration.rates import Figure
from faithcheck.calibration.running import Interrupted, Progress, calibrate
from faithcheck.calibration.wording import findings
from faithcheck.progress import Count
from faithcheck.text import visible

_SHOWN = 5
"""Errors that are printed; the file has all."""


def run(instances: int, checks: Sequence[str] | None, families: Sequence[str] | None, out: Path) -> int:
    """Calibrate, write the files and print where they are. Returns the exit code.

    On Ctrl-C what was finished is written first. Raises UserError or BrokenPlugin as `calibrate` does.
    """
    with Count(Console(stderr=True), "planting") as count:
        try:
            calibration = calibrate(families, checks, instances, on_progress=partial(_report, count, out))
        except Interrupted as stop:
            if not stop.calibration.found:
                raise
            stop.calibration.write(out)
            raise KeyboardInterrupt(f"what was finished is kept in {out}") from None
    paths = calibration.write(out)
    _print(calibration, paths, Console())
    return calibration.exit_code


def _report(count: Count, out: Path, at: Progress) -> None:
    """Make the folder before anything is planted; then show what is finished."""
    if at.instance is None:
        prepare(out)
    else:
        count.show(at.done, at.total, f"{at.instance.family}, seed {at.instance.seed}", at.share)


def _print(calibration: Calibration, paths: Sequence[Path], console: Console) -> None:
    if calibration.requirements:
        console.print(_table(calibration))
    for line in findings(calibration):
        console.print(Text(visible(f"- {line}")), soft_wrap=True)
    for record in calibration.errors[:_SHOWN]:
        where = f"{record.family}, seed {record.seed}, {record.variant}, {record.check}"
        console.print(Text(visible(f"ERROR {where}: {record.reason}"), style="bold magenta"), soft_wrap=True)
    if len(calibration.errors) > _SHOWN:
        console.print(Text(f"and {len(calibration.errors) - _SHOWN} more errors"))
    for path in paths:
        console.print(Text(visible(f"wrote {path}")), soft_wrap=True)


def _table(calibration: Calibration) -> Table:
    table = Table(title="Requirements, on odd seeds", title_justify="left")
    table.add_column("check", no_wrap=True)
    for figure in calibration.requirements[0].figures:
        table.add_column(figure.name)
    for requirement in calibration.requirements:
        table.add_row(Text(visible(requirement.check)), *map(_cell, requirement.figures))
    return table


def _cell(figure: Figure) -> Text:
    if figure.met is None:
        return Text("not measured", style="yellow")
    return Text(f"{figure.rate.k} of {figure.rate.n}", style="green" if figure.met else "bold red")
