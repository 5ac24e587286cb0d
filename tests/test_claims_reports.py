"""Reports of claims: what CI shows is about claims, and hostile text is text in it."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from claiming import content, folder_of, run
from markdown_it import MarkdownIt
from results import check, loaded
from xunit_rules import read

from faithcheck.claims.judging import Objection
from faithcheck.claims.outcome import Outcome, State, exit_code
from faithcheck.claims.reports import annotated, junit, summary
from faithcheck.errors import Location, UserError
from faithcheck.report.command import render

HOSTILE = "<b>&amp;\"' [x](javascript:1) `|` %0A::error::x \x1b[31m \u202e\n::error::line"


def outcome(state, text="It is so", name="a", sentence="because", line=3):
    objections = () if state is State.HOLDS else (Objection(sentence, Location("claims/a.yaml", line)),)
    return Outcome(name, "claims/a.yaml", text, state, objections, details="a trace\x1b" * (state is State.CRASHED))


OF_STATE = {
    State.HOLDS: None,
    State.BROKEN: "failure",
    State.UNTESTABLE: "error",
    State.CRASHED: "error",
    State.INTERRUPTED: "error",
}


@pytest.mark.parametrize("state", State)
def test_a_test_case_is_green_exactly_where_the_claim_holds(state):
    text = junit([outcome(state)])
    top = read(text)
    [case] = top.iter("testcase")
    assert [child.tag for child in case] == ([OF_STATE[state]] if OF_STATE[state] else [])
    red = int(top.get("failures")) + int(top.get("errors"))
    assert (red == 0) is (exit_code([outcome(state)]) == 0)


@pytest.mark.parametrize("state", State)
def test_hostile_text_is_text_in_every_report(state):
    outcomes = [outcome(state, text=HOSTILE, name=HOSTILE, sentence=HOSTILE)]
    text = junit(outcomes)
    [case] = read(text).iter("testcase")
    assert case.get("name").startswith("<b>&amp;\"' [x](javascript:1) `|` %0A::error::x \\x1b[31m \\u202e\\n")
    lines = "".join(f"{annotation}\n" for annotation in annotated(outcomes)).splitlines()
    assert len(lines) == (0 if state is State.HOLDS else 1)
    assert all(line.startswith("::error file=claims/a.yaml,line=3,title=claim <b>") for line in lines)
    shown = summary(outcomes)
    assert "\x1b" not in shown + text
    assert "\u202e" not in shown + text
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(shown)
    tokens += [child for token in tokens for child in token.children or ()]
    kinds = [token.type for token in tokens]
    assert not {"html_block", "html_inline", "link_open", "image"} & set(kinds)
    assert kinds.count("tr_open") == 2
    assert kinds.count("td_open") == 3


def test_annotations_stand_on_the_lines_of_what_does_not_hold(tmp_path, monkeypatch, capsys):
    folder = folder_of(tmp_path, a=content(verdicts={"layernorm": "FAIL", "sufficiency": "PASS"}), b=content())
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert run(folder, tmp_path / "out", "--report", "github") == 1
    text = (folder / "a.yaml").read_text().splitlines()
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::error")]
    for line, key in zip(found, ("layernorm", "sufficiency"), strict=True):
        number = next(i for i, row in enumerate(text, 1) if f'"{key}"' in row)
        assert line.startswith(f"::error file=claims/a.yaml,line={number},title=claim a does not hold::{key}: ")
    shown = (tmp_path / "summary.md").read_text()
    assert "## faithcheck: 1 of 2 claims held" in shown
    assert "| `a` | **does not hold** | All nodes do the task |" in shown
    assert "| `b` | holds | All nodes do the task |" in shown


def test_reports_of_claims_are_written_beside_their_results(tmp_path):
    folder = folder_of(tmp_path, a=content(), b=content(circuit="gone"))
    assert run(folder, tmp_path / "out", "--report", "markdown", "--report", "junit") == 2
    assert (tmp_path / "out" / "a" / "report.md").read_text().startswith("## faithcheck: **FAIL**")
    assert not (tmp_path / "out" / "b" / "report.md").exists()
    text = (tmp_path / "out" / "junit.xml").read_text()
    assert read(text).get("errors") == "1"


@pytest.mark.parametrize("holds", [True, False])
def test_the_reports_of_a_claims_result_say_whether_it_holds_and_why_not(tmp_path, holds):
    """Beside the verdicts, which are the circuit's: here a FAIL, claimed as such or not."""
    objections = [] if holds else [{"sentence": HOSTILE, "line": 3}]
    verdicts = {"sufficiency": "FAIL" if holds else "PASS"}
    claim = {"text": HOSTILE, "file": "a.yaml", "verdicts": verdicts, "holds": holds, "objections": objections}
    result = loaded(tmp_path, [check("FAIL")], claim=claim)
    words = "holds" if holds else "does not hold"
    said = 1 if holds else 2
    terminal, markdown = render(result, "terminal"), render(result, "markdown")
    assert f"Claim {words}: <b>&amp;" in terminal
    assert terminal.count("<b>&amp;") == said
    assert f"Claim {words if holds else f'**{words}**'}: " in markdown
    assert markdown.count("javascript") == said
    assert not {"\x1b", "\u202e"} & set(terminal + markdown)
    top = read(render(result, "junit"))
    [case] = [case for case in top.iter("testcase") if case.get("name") == "claim"]
    assert [child.tag for child in case] == (["system-out"] if holds else ["failure", "system-out"])
    assert top.get("failures") == ("0" if holds else "2"), "a verdict that was claimed is no failure"


def test_a_result_whose_claim_is_said_to_hold_against_its_verdicts_is_refused(tmp_path):
    claim = {"text": "x", "file": "a.yaml", "verdicts": {"sufficiency": "PASS"}, "holds": True}
    with pytest.raises(UserError, match="said to hold, but not its verdict PASS of sufficiency"):
        loaded(tmp_path, [check("FAIL")], claim=claim)


def test_the_junit_file_of_an_earlier_run_is_not_left_beside_the_results_of_this_one(tmp_path):
    folder = folder_of(tmp_path, a=content(circuit="gone"))
    assert run(folder, tmp_path / "out", "--report", "junit") == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "junit.xml").write_text("<testsuites name='mine'/>")
    for out in ("out", "mine"):
        run(folder, tmp_path / out)
    assert not (tmp_path / "out" / "junit.xml").exists()
    assert (tmp_path / "mine" / "junit.xml").exists(), "that of somebody else is"


def test_a_claim_that_holds_of_a_fail_is_green(tmp_path):
    assert run(folder_of(tmp_path, a=content()), tmp_path / "out", "--report", "junit") == 0
    result = json.loads((tmp_path / "out" / "a" / "result.json").read_text())
    assert result["verdict"] == "FAIL"
    top = ElementTree.fromstring((tmp_path / "out" / "junit.xml").read_bytes())
    assert (top.get("failures"), top.get("errors"), top.get("tests")) == ("0", "0", "1")
