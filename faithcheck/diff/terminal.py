"""A comparison for a terminal: the answer first, then what differs, the noise, verdicts and metrics."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from faithcheck.diff.compared import Compared, Move
from faithcheck.diff.comparison import Comparison
from faithcheck.diff.verdicts import CheckChange, label
from faithcheck.diff.wording import answer, level, listed, noise, shifted
from faithcheck.report.terminal import STYLES
from faithcheck.result_schema import CircuitResult
from faithcheck.text import counted, one_line
from faithcheck.verdict import Verdict

_STYLES = {Move.WORSE: "bold red", Move.BETTER: "green", Move.MOVED: "bold", Move.UNKNOWN: "yellow"}


def render(found: Comparison, base: str, head: str, console: Console) -> None:
    """Print it; `base` and `head` are what the user named."""
    _print(console, answer(found), "bold red" if found.regressions else "bold green" if found.is_empty else "bold")
    _print(console, f"BASE {base}")
    _print(console, f"HEAD {head}")
    for text in found.settings:
        _print(console, f"  differs: {text}")
    for text in noise(found):
        _print(console, text)
    for text in dict.fromkeys([*found.base.lost, *found.head.lost]):
        _print(console, f"Evidence lost: {text}", "yellow")
    if found.regressions:
        console.print()
    for text in _regressions(found):
        _print(console, text, "red")
    for table in (_verdicts(found), _circuits(found), _metrics(found)):
        if table.row_count:
            console.print()
            console.print(table)
    for text in _left_out(found):
        _print(console, text)


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(one_line(text), style=style), soft_wrap=True)


def _regressions(found: Comparison) -> Iterator[str]:
    if found.interrupted:
        yield "regression: HEAD was interrupted, and BASE was not"
    for change in found.checks:
        if change.regressions:
            yield f"regression: {change.task}, {change.check}: {'; '.join(change.regressions)}"


def _verdicts(found: Comparison) -> Table:
    table = _table("Verdicts that differ", "task", "check", "BASE", "HEAD", "")
    for change in found.checks:
        if change.moved:
            said = "regression" if change.regressions else change.remark
            table.add_row(*map(_text, (change.task, change.check)), *_pair(change), _text(said))
    return table


def _pair(change: CheckChange) -> tuple[Text, Text]:
    return _verdict(change.base), _verdict(change.head)


def _verdict(verdict: Verdict | None) -> Text:
    return Text(verdict, style=STYLES[verdict]) if verdict else Text("-")


def _circuits(found: Comparison) -> Table:
    """Of tasks whose circuits are not the same."""
    table = _table("Circuits that differ", "task", "run", "seeds", "target reached", "nodes", "the same")
    for task in dict.fromkeys(circuit.task for circuit in found.base.loaded.data.circuits):
        sides = found.base.circuits(task), found.head.circuits(task)
        common = sides[0].keys() & sides[1].keys()
        same = sum(sides[0][seed].identity == sides[1][seed].identity for seed in common)
        if sides[0].keys() == sides[1].keys() and same == len(common):
            continue
        for what, side in zip(("BASE", "HEAD"), sides, strict=True):
            rows = list(side.values())
            reached = f"{sum(row.reached for row in rows)} of {len(rows)}"
            seeds = listed(sorted(side, key=lambda seed: (seed is None, seed or 0))) if side else "-"
            table.add_row(*map(_text, (task, what, seeds, reached, _span(rows), f"{same} of {len(common)}")))
    return table


def _span(rows: list[CircuitResult]) -> str:
    sizes = [row.size for row in rows]
    if not sizes:
        return "-"
    return str(min(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def _metrics(found: Comparison) -> Table:
    """Gated metrics that differ, and of the others those that moved beyond noise; a bold row names their check."""
    table = _table("Metrics that differ", "metric", "gate", "BASE", "HEAD", "HEAD - BASE", "")
    shown = [
        one
        for one in (*found.gated, *found.reported)
        if one.move is not Move.SAME and (one.gate or one.move is Move.MOVED)
    ]
    for task, check in dict.fromkeys((one.name.task, one.name.check) for one in shown):
        table.add_section()
        table.add_row(Text(one_line(f"{task}, {check}"), style="bold"))
        for one in shown:
            if (one.name.task, one.name.check) == (task, check):
                table.add_row(*_row(one))
    table.caption = _CAPTION
    table.caption_justify = "left"
    return table


_CAPTION = (
    "Of several circuits means. Intervals: 95 %, each by itself; the last column counts all metrics that were compared."
)


def _row(compared: Compared) -> list[Text]:
    cells = (
        label(compared.name),
        compared.gate.resolved if compared.gate else "-",
        level(compared, compared.base, compared.matched.base),
        level(compared, compared.head, compared.matched.head),
        shifted(compared),
    )
    holds = ", gate holds" if compared.move is Move.WORSE and compared.holds else ""
    return [*map(_text, cells), Text(compared.move.value + holds, style=_STYLES.get(compared.move, ""))]


def _left_out(found: Comparison) -> Iterator[str]:
    quiet = [m for m in found.reported if m.move in (Move.WITHIN, Move.UNKNOWN)]
    if quiet:
        yield f"{counted(len(quiet), 'metric')} without a gate changed too, none of them known to be beyond noise."
    for what, one, other in (("BASE", found.base, found.head), ("HEAD", found.head, found.base)):
        alone = [name for name in one.names if name not in other.names]
        if alone:
            yield f"{counted(len(alone), 'metric')} only in {what}, such as {label(alone[0])} of {alone[0].check}."


_EDGED = Box("    \n│   \n│── \n│   \n│   \n│   \n│   \n    \n")
"""Narrow; its edge keeps names from the start of a line, where GitHub's runner would take `::error::` for a command."""


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=_EDGED)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _text(text: str) -> Text:
    return Text(one_line(text))
