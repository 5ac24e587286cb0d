"""What a run is doing, shown while pytest waits: after the line's end on a terminal, elsewhere lines with -v or -s."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from faithcheck.text import visible

_PROGRESS = re.compile(r"\[ *\d+/\d+\] ")
"""How a line of `progress.ProgressReport` begins."""
_NARROWEST = 20
"""Columns below which nothing is shown."""


@contextmanager
def progress_of(config: pytest.Config) -> Iterator[Callable[[str], None]]:
    """A function to call with every line that the run prints. In a worker of pytest-xdist it shows nothing."""
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        if reporter is None:
            yield lambda line: None
        elif sys.stdout.isatty():
            here = _Here(config.get_terminal_writer())
            here.show("starting")
            try:
                yield _only_progress(here.show)
            finally:
                here.show("")
        elif config.get_verbosity() > 0 or config.getoption("capture", "no") == "no":
            yield _only_progress(lambda line: _line(reporter, line))
        else:
            yield lambda line: None


def _only_progress(show: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: show(visible(line)) if _PROGRESS.match(line) else None


def _line(reporter: Any, line: str) -> None:
    reporter.ensure_newline()
    reporter.write_line(line)


class _Here:
    """Text at the end of the terminal's line that takes the place of the text before."""

    def __init__(self, writer: Any):
        self._room, self._shown = writer.fullwidth - writer.width_of_current_line - 2, 0

    def show(self, text: str) -> None:
        from rich.cells import cell_len, set_cell_size

        text = set_cell_size(text, min(self._room, cell_len(text))) if self._room >= _NARROWEST else ""
        back = "\b" * self._shown
        sys.stdout.write(f"{back}{' ' * self._shown}{back}{text}")
        sys.stdout.flush()
        self._shown = cell_len(text)
