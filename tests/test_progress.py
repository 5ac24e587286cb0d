"""The progress of a run, as text."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from faithcheck.events import Case, CaseFinished, CaseStarted, RunStarted
from faithcheck.progress import ProgressReport, Remaining

CASES = [Case("extract", "pronoun: extract, seed 0", "a", 10), Case("check", "pronoun: [red]layernorm[/red]", "b", 5)]


def progress(terminal, finished=CASES):
    """What a run of CASES shows of which some are finished."""
    file = io.StringIO()
    with ProgressReport(Console(file=file, force_terminal=terminal, width=120)) as report:
        report.handle(RunStarted(CASES))
        for case in finished:
            report.handle(CaseStarted(case))
            report.handle(CaseFinished(case, 2.0, "23 nodes, loss [0.1]"))
    return file.getvalue()


def test_progress_that_is_not_on_a_terminal_is_one_plain_line_a_case():
    first, second = progress(terminal=False).strip().splitlines()
    assert first.startswith("[1/2] pronoun: extract, seed 0: 23 nodes, loss [0.1] (2.0 s; about ")
    assert first.endswith(" left)")
    assert second == "[2/2] pronoun: [red]layernorm[/red]: 23 nodes, loss [0.1] (2.0 s)"


def test_progress_that_is_not_on_a_terminal_prints_nothing_else():
    shown = progress(terminal=False)
    assert len(shown.splitlines()) == 2
    assert "\x1b" not in shown


def test_progress_on_a_terminal_shows_the_case_and_the_time_left():
    shown = progress(terminal=True, finished=CASES[:1])
    assert "pronoun: extract, seed 0" in shown
    assert re.search(r"about \d+ s left", shown)


def test_nothing_is_printed_where_nothing_is_run():
    file = io.StringIO()
    with ProgressReport(Console(file=file)):
        pass
    assert file.getvalue() == ""


@pytest.mark.parametrize(("elapsed", "said"), [(10, "about 30 s left"), (60, "about 3 min left")])
def test_the_time_left_follows_from_the_finished_share(monkeypatch, elapsed, said):
    clock = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    remaining = Remaining(20)
    assert remaining.text() == ""
    clock[0] += elapsed
    remaining.advance(5)
    assert remaining.text() == said
    remaining.advance(15)
    assert remaining.text() == ""
