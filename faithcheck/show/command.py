"""Finds everything that a reference stands for, and prints a page about each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from faithcheck import plugins
from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.errors import UserError
from faithcheck.show.file_pages import suite_page, task_page, yaml_page
from faithcheck.show.page import Page, print_page
from faithcheck.show.plugin_pages import entry_page, file_page


def show(ref: str) -> int:
    """Print what `ref` stands for, a page for each kind of thing. Returns the exit code: 3 where one of them is broken.

    `ref`: NAME, PACKAGE/NAME, path/to/file.py:NAME, LOADER:PATH, or the path of a suite's or task's file.
    Raises UserError where it stands for nothing, or for a file that is wrong.
    """
    pages = list(_pages(ref))
    if not pages:
        raise UserError(_unknown(ref))
    console = Console()
    for i, page in enumerate(pages):
        if i:
            console.print()
        print_page(page, console)
    return 3 if any(page.broken is not None for page in pages) else 0


def _pages(ref: str) -> Iterator[Page]:
    if ref.endswith((".yaml", ".yml")):
        yield yaml_page(Path(ref))
    elif ".py:" in ref or ref.endswith(".py"):
        yield file_page(ref)
    else:
        yield from _named(ref)


def _named(ref: str) -> Iterator[Page]:
    for group in plugins.LISTED:
        name, colon, path = ref.partition(":") if group == "models" else (ref, "", "")
        for entry in plugins.names(group):
            if name in (entry.name, str(entry)):
                yield entry_page(group, entry, path if colon else None)
    if ref in yaml_names(bundled_dir() / "tasks"):
        yield task_page(bundled_dir() / "tasks" / f"{ref}.yaml")
    if ref in yaml_names(bundled_dir()):
        yield suite_page(bundled_dir() / f"{ref}.yaml")


def _unknown(ref: str) -> str:
    entries = [entry for group in plugins.LISTED for entry in plugins.names(group)]
    files = [*yaml_names(bundled_dir() / "tasks"), *yaml_names(bundled_dir())]
    near = plugins.nearest(ref.partition(":")[0], entries, files)
    return f"nothing is called {ref!r}; `faithcheck list` names all methods, checks, tasks, models and suites{near}"
