"""`faithcheck diff BASE HEAD`: read two results, compare them, print what moved."""

from __future__ import annotations

from rich.console import Console

from faithcheck.diff.comparison import compare_runs
from faithcheck.diff.run import read
from faithcheck.diff.terminal import render
from faithcheck.report.reading import load_result

_PLAIN_WIDTH = 160
"""Columns where nothing says how wide the output is."""


def run(base: str, head: str, fail_on_regression: bool) -> int:
    """The exit code: 1 for a regression, where that was asked for. Raises UserError for what is no result."""
    found = compare_runs(*(read(load_result(path), path) for path in (base, head)))
    console = Console()
    render(found, base, head, console if console.is_terminal else Console(width=_PLAIN_WIDTH))
    return 1 if fail_on_regression and found.regressions else 0
