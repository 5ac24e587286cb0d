"""`faithcheck calibrate`: progress, a short table, and where the files are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from faithcheck.calibration.calibration import Calibration, prepare
from faithcheck.calibration.rates import Figure
from faithcheck.calibration.running import Interrupted, Progress, calibrate
from faithcheck.calibration.wording import findings
from faithcheck.progress import Remaining
from faithcheck.text import visible

_PLAIN_EVERY = 30.0
"""Seconds between lines where the output is no terminal."""
_SHOWN = 5
"""Errors that are printed; the file has all."""


def run(instances: int, checks: Sequence[str] | None, families: Sequence[str] | None, out: Path) -> int:
    """Calibrate, write the files and print where they are. Returns the exit code.

    On Ctrl-C what was finished is written first. Raises UserError or BrokenPlugin as `calibrate` does.
    """
    console = Console(stderr=True)
    with Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        try:
            calibration = calibrate(families, checks, instances, on_progress=_Report(bar, console, out))
        except Interrupted as stop:
            if not stop.calibration.found:
                raise
            stop.calibration.write(out)
            raise KeyboardInterrupt(f"what was finished is kept in {out}") from None
    paths = calibration.write(out)
    _print(calibration, paths, Console())
    return calibration.exit_code


class _Report:
    """Makes the folder before anything is planted. Then shows finished instances: a bar on a terminal, else lines."""

    def __init__(self, bar: Bar, console: Console, out: Path):
        self._bar, self._console, self._out = bar, console, out
        self._task = bar.add_task("planting", total=None, left="")
        self._said = time.perf_counter()

    def __call__(self, at: Progress) -> None:
        if at.instance is None:
            prepare(self._out)
            self._remaining = Remaining(1.0)
            self._bar.update(self._task, total=at.total)
            return
        self._remaining.done = at.share
        what = visible(f"{at.instance.family}, seed {at.instance.seed}")
        left = self._remaining.text() if at.done < at.total else ""
        self._bar.update(self._task, completed=at.done, description=what, left=left)
        now = time.perf_counter()
        if self._bar.disable and (now - self._said > _PLAIN_EVERY or at.done == at.total):
            line = f"[{at.done}/{at.total}] {what}{'; ' + left if left else ''}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._said = now


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
