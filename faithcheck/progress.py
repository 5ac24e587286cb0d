"""Progress of a run: a live bar on a terminal, plain lines elsewhere. Both say how much time is left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from faithcheck.events import CaseFinished, CaseStarted, Event, RunStarted
from faithcheck.text import visible


class Remaining:
    """Estimates the time left from how long the finished part of the work took."""

    def __init__(self, total: float):
        self.total, self.done, self._start = total, 0.0, time.perf_counter()

    def advance(self, weight: float) -> None:
        self.done += weight

    def text(self) -> str:
        """`about 3 min left`; empty before anything is finished and at the end."""
        if not self.done or self.done >= self.total:
            return ""
        seconds = (time.perf_counter() - self._start) * (self.total - self.done) / self.done
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


_PLAIN_EVERY = 30.0
"""Seconds between the lines of a count where the output is no terminal."""


class Count:
    """Shows how much of something countable is done: a bar on a terminal, elsewhere a line now and then and at the end.

    Use it as a context manager.
    """

    def __init__(self, console: Console, what: str):
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=None, left="")
        self._remaining = Remaining(1.0)
        self._said = time.perf_counter()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, done: int, total: int, what: str, share: float | None = None) -> None:
        """share: how much of the work that is, where not all is alike."""
        self._remaining.done = done / total if share is None else share
        left = self._remaining.text()
        self._bar.update(self._task, completed=done, total=total, description=visible(what), left=left)
        now = time.perf_counter()
        if not self._console.is_terminal and (now - self._said > _PLAIN_EVERY or done == total):
            line = visible(f"[{done}/{total}] {what}{'; ' + left if left else ''}")
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._said = now


class ProgressReport:
    """An event handler; use it as a context manager."""

    def __init__(self, console: Console):
        self._console = console
        self._live = console.is_terminal
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            transient=True,
        )
        self._finished = 0

    def __enter__(self) -> Self:
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bar.stop()

    def handle(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._cases = len(event.cases)
                self._remaining = Remaining(sum(case.weight for case in event.cases))
                self._task = self._bar.add_task("starting", total=self._remaining.total, left="")
            case CaseStarted():
                self._bar.update(self._task, description=visible(event.case.title))
            case CaseFinished():
                self._finish(event)

    def _finish(self, event: CaseFinished) -> None:
        self._finished += 1
        self._remaining.advance(event.case.weight)
        left = self._remaining.text()
        self._bar.update(self._task, advance=event.case.weight, left=left)
        counted = f"[{self._finished:>{len(str(self._cases))}}/{self._cases}]"
        took = f"({event.seconds:.1f} s{'; ' + left if left and not self._live else ''})"
        self._console.print(
            visible(f"{counted} {event.case.title}: {event.outcome} {took}"),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
