"""The report of a run for a terminal: a table of verdicts, a sentence for each that is no PASS, where the files are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from faithcheck.text import visible

STYLES = {
    "PASS": "green",
    "FAIL": "bold red",
    "INCONCLUSIVE": "yellow",
    "NOT_APPLICABLE": "dim",
    "ERROR": "bold magenta",
}


def render(result: Mapping[str, Any], out: str, console: Console) -> None:
    """Print the report of a result (the data of result.json), which lies in the folder `out`."""
    console.print(_verdicts(result))
    if result["circuits"]:
        console.print(_circuits(result))
    for check in result["checks"]:
        if check["verdict"] != "PASS":
            console.print(_reason(check))
    if result["interrupted"]:
        console.print(Text("Interrupted: what was finished is kept.", style="yellow"))
    console.print(
        Text.assemble("\nSuite ", (visible(result["suite"]["name"]), "bold"), ": ", _verdict(result["verdict"]))
    )
    console.print(Text(visible(f"Files: {out}/result.json, circuits/, evidence/")), soft_wrap=True)


def _verdicts(result: Mapping[str, Any]) -> Table:
    """One row a check, one column a task."""
    tasks = list(dict.fromkeys(check["task"] for check in result["checks"]))
    table = Table(title="Verdicts", title_justify="left")
    table.add_column("check")
    for task in tasks:
        table.add_column(Text(visible(task)))
    for name in dict.fromkeys(check["check"] for check in result["checks"]):
        row = {check["task"]: check["verdict"] for check in result["checks"] if check["check"] == name}
        table.add_row(Text(visible(name)), *(_verdict(row[task]) if task in row else Text("-") for task in tasks))
    return table


def _circuits(result: Mapping[str, Any]) -> Table:
    """One row a task: the sizes of its circuits."""
    table = Table(title="Circuits", title_justify="left")
    for column in ("task", "circuits", "target reached", "nodes", "edges", "validation loss"):
        table.add_column(column)
    for task in dict.fromkeys(circuit["task"] for circuit in result["circuits"]):
        rows = [circuit for circuit in result["circuits"] if circuit["task"] == task]
        reached = sum(circuit["reached"] for circuit in rows)
        spans = [_span([row[key] for row in rows], form) for key, form in _SPANS]
        table.add_row(Text(visible(task)), str(len(rows)), f"{reached} of {len(rows)}", *spans)
    return table


_SPANS = (("size", "d"), ("edges", "d"), ("loss", ".3f"))


def _span(values: list[Any], form: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    low, high = format(min(known), form), format(max(known), form)
    return low if low == high else f"{low} to {high}"


def _verdict(verdict: str) -> Text:
    return Text(verdict, style=STYLES[verdict])


def _reason(check: Mapping[str, Any]) -> Text:
    text = Text.assemble(
        "\n", _verdict(check["verdict"]), visible(f" {check['task']}, {check['check']}\n  {check['reason']}")
    )
    if "details" in check:
        text.append(visible(f"\n  traceback: {check['details']}"))
    return text
