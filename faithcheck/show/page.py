"""A page about one thing, and how it is printed: whatever it says is text from outside, and is shown as such."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from faithcheck.text import visible


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as there are columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Page:
    """One method, check, task, model or suite. `facts` are (label, value); `broken`: why it cannot be used."""

    kind: str
    name: str
    facts: Sequence[tuple[str, str]] = ()
    text: str = ""
    tables: Sequence[Table] = ()
    broken: str | None = None


def print_page(page: Page, console: Console) -> None:
    console.print(Text.assemble((f"{page.kind} ", "dim"), (visible(page.name), "bold")), soft_wrap=True)
    if page.broken is not None:
        console.print(Text(visible(f"broken: {page.broken}"), style="bold magenta"), soft_wrap=True)
    for label, value in page.facts:
        console.print(Text.assemble((f"  {visible(label)}: ", "dim"), visible(value)), soft_wrap=True)
    if page.text:
        console.print(Text(f"\n{visible(page.text)}"))
    for table in page.tables:
        console.print()
        console.print(_grid(table))


def _grid(table: Table) -> Grid:
    """The first column, of names, is the last to be made narrower."""
    grid = Grid(title=Text(visible(table.title)), title_justify="left", box=None, header_style="dim")
    for i, column in enumerate(table.columns):
        grid.add_column(Text(visible(column)), overflow="fold", no_wrap=i == 0)
    for row in table.rows:
        grid.add_row(*(Text(visible(cell)) for cell in row))
    return grid
