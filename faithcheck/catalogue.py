"""`faithcheck list`: what is installed, with a line about each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from faithcheck import plugins
from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.errors import UserError
from faithcheck.marked_yaml import load

KINDS = ("methods", "checks", "tasks", "models", "suites")
Row = tuple[str, str, str]


def print_catalogue(kind: str | None) -> int:
    """Print one kind, or all. Returns the exit code: 0, whatever is broken is listed as such."""
    console = Console()
    for name in [kind] if kind else KINDS:
        table = Table(title=name, title_justify="left", show_header=False, box=None)
        for row in rows(name):
            table.add_row(*map(Text, row))
        console.print(table)
    console.print("`faithcheck show NAME` explains any of them.", style="dim")
    return 0


def rows(kind: str) -> Sequence[Row]:
    """(name, where from, one line about it) of everything of a kind."""
    return list(_plugins(kind) if kind in plugins.LISTED else _files(kind))


def _plugins(group: str) -> Iterator[Row]:
    for entry, summary, broken in plugins.describe(group):
        yield entry.name, entry.package, f"broken: {broken}" if broken else summary or ""


def _files(kind: str) -> Iterator[Row]:
    folder = bundled_dir() / "tasks" if kind == "tasks" else bundled_dir()
    for name in yaml_names(folder):
        try:
            about = str(load(folder / f"{name}.yaml").data.get("about", ""))
        except UserError as error:
            about = f"broken: {error.message}"
        yield name, "bundled", about
