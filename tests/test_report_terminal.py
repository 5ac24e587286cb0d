"""The report for a terminal."""

from __future__ import annotations

import io
import re

import pytest
from results import VERDICTS, check, circuit, evidence, loaded
from rich.console import Console

from faithcheck.report.terminal import render

HOSTILE = ["[red]x[/red]", "[/]", "[link=http://x]y[/link]", ":smile:", "[bold", "\\[x]"]
CONTROL = ["\x1b[31mred", "\x1b]0;title\x07", "a\rb", "\x9b2J", "a\x08b", "a\x00b", "a\u202eb", "a\nb"]


def text(result, width=100, **options):
    file = io.StringIO()
    render(result, Console(file=file, width=width, **options))
    return file.getvalue()


def one_line(shown):
    return " ".join(shown.split())


def hostile(folder, word):
    """A failed check whose every text is `word`."""
    checks = [check("FAIL", check=word, task=word, reason=word, details=word)]
    return loaded(folder, checks, [circuit(task=word, file="circuits/x")], suite={"name": word})


def test_the_report_names_every_check_that_is_no_pass_with_its_sentence(tmp_path):
    checks = [check(v, f"check_{v.lower()}", reason=f"because of {v.lower()}") for v in VERDICTS]
    shown = text(loaded(tmp_path, checks))
    for entry in checks:
        said = f"{entry['verdict']} pronoun, {entry['check']}\n  {entry['reason']}" in shown
        assert said is (entry["verdict"] != "PASS")


def test_every_check_has_its_verdict_on_every_task_in_the_table(tmp_path):
    checks = [check("PASS", task="a"), check("FAIL", task="b"), check("ERROR", "layernorm", task="b")]
    rows = [line.split("│")[1:-1] for line in text(loaded(tmp_path, checks)).splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["sufficiency", "PASS", "FAIL"],
        ["layernorm", "-", "ERROR"],
    ]


def test_the_report_ends_with_the_verdict_and_where_the_files_are(tmp_path):
    lines = text(loaded(tmp_path / "some" / "folder", [check("FAIL")])).splitlines()
    assert lines[-2] == "Suite mine: FAIL"
    assert "some/folder/result.json" in lines[-1]


def test_an_error_names_its_traceback(tmp_path):
    shown = text(loaded(tmp_path, [check("ERROR", details="errors/pronoun-sufficiency.txt")]))
    assert "errors/pronoun-sufficiency.txt" in shown


def test_circuits_are_summed_up_by_task(tmp_path):
    circuits = [circuit(size=20, edges=None), circuit(seed=1, size=30, edges=None, loss=0.2, reached=False)]
    shown = one_line(text(loaded(tmp_path, [check("FAIL")], circuits)))
    assert "1 of 2" in shown
    assert "20 to 30" in shown
    assert "0.120 to 0.200" in shown


def test_a_long_sentence_and_path_are_not_cut_on_a_narrow_terminal(tmp_path):
    reason, folder = "word " * 60 + "end", "a/very/long/folder/" * 5
    shown = text(loaded(tmp_path / folder, [check("FAIL", reason=reason)]), width=40)
    assert one_line(reason) in one_line(shown)
    assert folder in shown


def test_many_tasks_keep_their_verdicts_whole(tmp_path):
    checks = [check("NOT_APPLICABLE", task=f"task_{i}") for i in range(6)]
    result = loaded(tmp_path, checks)
    for width in (200, 80, 40):
        table = text(result, width=width).split("\n\n")[0]
        assert table.count("NOT_APPLICABLE") == 6
        assert all(f"task_{i}" in table for i in range(6))


def test_an_interrupted_run_says_so(tmp_path):
    assert "Interrupted" in text(loaded(tmp_path, [check("PASS")], interrupted=True))
    assert "Interrupted" not in text(loaded(tmp_path, [check("PASS")]))


@pytest.mark.parametrize("change", ["gone", "other"])
def test_lost_evidence_is_named(tmp_path, change):
    entry = evidence(tmp_path, "pronoun-sufficiency", {"loss": [0.1]})
    result = loaded(tmp_path, [check("FAIL", evidence=entry)])
    assert entry["file"] not in text(result)
    file = tmp_path / entry["file"]
    file.unlink() if change == "gone" else file.write_bytes(b"other")
    assert f"the evidence file {entry['file']} is not" in one_line(text(result))


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("terminal", [True, False])
def test_markup_in_names_and_sentences_is_shown_as_text(tmp_path, word, terminal):
    shown = text(hostile(tmp_path, word), force_terminal=terminal, width=200)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert plain.count(word) == 8


@pytest.mark.parametrize("word", CONTROL, ids=ascii)
def test_control_characters_in_names_and_sentences_do_not_reach_the_terminal(tmp_path, word):
    shown = text(hostile(tmp_path, word))
    assert [c for c in shown if not c.isprintable() and c != "\n"] == []
    assert len(shown.splitlines()) == len(text(hostile(tmp_path, "word")).splitlines())


def test_a_report_that_goes_to_a_file_has_no_colours(tmp_path):
    assert "\x1b" not in text(loaded(tmp_path, [check(v, check=v) for v in VERDICTS]))
