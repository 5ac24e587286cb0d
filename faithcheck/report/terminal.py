"""The report of a run for a terminal: a table of verdicts, a sentence for each that is no PASS, where the files are."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from faithcheck.report.beside import lost_evidence
from faithcheck.report.reading import LoadedResult
from faithcheck.report.tables import CIRCUITS, circuit_rows, verdict_table
from faithcheck.result_schema import CheckResult, ClaimData, ResultData
from faithcheck.text import one_line

_ANY_WIDTH = 100_000
STYLES = {
    "PASS": "green",
    "FAIL": "bold red",
    "INCONCLUSIVE": "yellow",
    "NOT_APPLICABLE": "dim",
    "ERROR": "bold magenta",
}


def render(loaded: LoadedResult, console: Console) -> None:
    """Print the report of a result."""
    result = loaded.data
    table = _verdicts(result)
    natural = console.measure(table, options=console.options.update(max_width=_ANY_WIDTH)).maximum
    console.print(table if natural <= console.width else _verdicts_in_rows(result))
    if result.circuits:
        console.print(_circuits(result))
    for check in result.checks:
        if check.verdict != "PASS":
            console.print(_reason(check))
    for lost in lost_evidence(loaded):
        console.print(Text(f"\n{lost}", style="yellow"))
    if result.interrupted:
        console.print(Text("Interrupted: what was finished is kept.", style="yellow"))
    if result.claim is not None:
        console.print(_claim(result.claim), soft_wrap=True)
    console.print(Text.assemble("\nSuite ", (one_line(result.suite.name), "bold"), ": ", _verdict(result.verdict)))
    console.print(Text(one_line(f"Files: {loaded.folder}/result.json, circuits/, evidence/")), soft_wrap=True)


def _verdicts(result: ResultData) -> Table:
    """One row a check, one column a task."""
    tasks, rows = verdict_table(result)
    table = Table(title="Verdicts", title_justify="left")
    table.add_column("check")
    for task in tasks:
        table.add_column(Text(one_line(task)))
    for name, verdicts in rows:
        table.add_row(Text(one_line(name)), *(Text("-") if v is None else _verdict(v) for v in verdicts))
    return table


def _verdicts_in_rows(result: ResultData) -> Table:
    """One row a task and check, for a terminal that is too narrow for a column a task."""
    table = Table(title="Verdicts", title_justify="left")
    table.add_column("task", overflow="fold")
    table.add_column("check", overflow="fold")
    table.add_column(no_wrap=True)
    for check in result.checks:
        table.add_row(Text(one_line(check.task)), Text(one_line(check.check)), _verdict(check.verdict))
    return table


def _circuits(result: ResultData) -> Table:
    """One row a task: the sizes of its circuits."""
    table = Table(title="Circuits", title_justify="left")
    for column in CIRCUITS:
        table.add_column(column)
    for task, *numbers in circuit_rows(result):
        table.add_row(Text(one_line(task)), *numbers)
    return table


def _claim(claim: ClaimData) -> Text:
    """Whether it holds: the verdicts above are the circuit's, and a claim may be of a FAIL."""
    words = Text("holds", "green") if claim.holds else Text("does not hold", "bold red")
    text = Text.assemble("\nClaim ", words, f": {one_line(claim.text)}")
    return text.append("".join(f"\n  {one_line(objection.sentence)}" for objection in claim.objections))


def _verdict(verdict: str) -> Text:
    return Text(verdict, style=STYLES[verdict])


def _reason(check: CheckResult) -> Text:
    where, reason = one_line(f"{check.task}, {check.check}"), one_line(check.reason)
    text = Text.assemble("\n", _verdict(check.verdict), f" {where}\n  {reason}")
    if check.details is not None:
        text.append(f"\n  traceback: {one_line(check.details)}")
    return text
