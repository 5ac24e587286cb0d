"""The report of a run and its progress, as text."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from faithcheck.events import Case, CaseFinished, CaseStarted, RunStarted
from faithcheck.progress import ProgressReport, Remaining
from faithcheck.terminal import render

VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE", "ERROR")
HOSTILE = ["[red]x[/red]", "[/]", "[link=http://x]y[/link]", ":smile:", "[bold", "\\[x]"]
CONTROL = ["\x1b[31mred", "\x1b]0;title\x07", "a\rb", "\x9b2J", "a\x08b", "a\x00b"]


def check(verdict, name="sufficiency", task="pronoun", reason="a reason", **more):
    return {"check": name, "task": task, "verdict": verdict, "reason": reason, "metrics": [], "key": "k", **more}


def circuit(task="pronoun", size=23, edges=31, loss=0.12, reached=True):
    return {"task": task, "size": size, "edges": edges, "loss": loss, "reached": reached}


def result(checks=(), circuits=(), verdict="FAIL", name="mine", interrupted=False):
    return {
        "verdict": verdict,
        "interrupted": interrupted,
        "suite": {"name": name},
        "circuits": list(circuits),
        "checks": list(checks),
    }


def text(data, out="some/folder", width=100, **options):
    file = io.StringIO()
    render(data, out, Console(file=file, width=width, **options))
    return file.getvalue()


def one_line(shown):
    return " ".join(shown.split())


def test_the_report_names_every_check_that_is_no_pass_with_its_sentence():
    checks = [check(v, f"check_{v.lower()}", reason=f"because of {v.lower()}") for v in VERDICTS]
    shown = text(result(checks))
    for entry in checks:
        said = f"{entry['verdict']} pronoun, {entry['check']}\n  {entry['reason']}" in shown
        assert said is (entry["verdict"] != "PASS")


def test_every_check_has_its_verdict_on_every_task_in_the_table():
    checks = [check("PASS", task="a"), check("FAIL", task="b"), check("ERROR", "layernorm", task="b")]
    rows = [line.split("│")[1:-1] for line in text(result(checks)).splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["sufficiency", "PASS", "FAIL"],
        ["layernorm", "-", "ERROR"],
    ]


def test_the_report_ends_with_the_verdict_and_where_the_files_are():
    lines = text(result([check("FAIL")])).splitlines()
    assert lines[-2] == "Suite mine: FAIL"
    assert "some/folder/result.json" in lines[-1]


def test_an_error_names_its_traceback():
    shown = text(result([check("ERROR", details="errors/pronoun-sufficiency.txt")]))
    assert "errors/pronoun-sufficiency.txt" in shown


def test_circuits_are_summed_up_by_task():
    circuits = [circuit(size=20, edges=None), circuit(size=30, edges=None, loss=0.2, reached=False)]
    shown = one_line(text(result([check("FAIL")], circuits)))
    assert "1 of 2" in shown
    assert "20 to 30" in shown
    assert "0.120 to 0.200" in shown


def test_a_long_sentence_and_path_are_not_cut_on_a_narrow_terminal():
    reason, folder = "word " * 60 + "end", "a/very/long/folder/" * 10
    shown = text(result([check("FAIL", reason=reason)]), folder, width=40)
    assert one_line(reason) in one_line(shown)
    assert folder in shown


def test_many_tasks_keep_their_verdicts_whole():
    checks = [check("NOT_APPLICABLE", task=f"task_{i}") for i in range(6)]
    assert text(result(checks), width=80).split("Circuits")[0].count("NOT_APPLICABLE") >= 6


def test_an_interrupted_run_says_so():
    assert "Interrupted" in text(result(verdict="INCONCLUSIVE", interrupted=True))


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("terminal", [True, False])
def test_markup_in_names_and_sentences_is_shown_as_text(word, terminal):
    checks = [check("FAIL", name=word, task=word, reason=word, details=word)]
    shown = text(result(checks, [circuit(task=word)], name=word), word, force_terminal=terminal, width=200)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert plain.count(word) >= 8


@pytest.mark.parametrize("word", CONTROL, ids=ascii)
def test_control_characters_in_names_and_sentences_do_not_reach_the_terminal(word):
    checks = [check("FAIL", name=word, task=word, reason=word, details=word)]
    shown = text(result(checks, [circuit(task=word)], name=word), word)
    assert [c for c in shown if not c.isprintable() and c != "\n"] == []


def test_a_report_that_goes_to_a_file_has_no_colours():
    assert "\x1b" not in text(result([check(v) for v in VERDICTS]))


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
