"""The report for GitHub Actions: commands to the runner and the step summary."""

from __future__ import annotations

import re

import pytest
from results import VERDICTS, check, evidence, loaded, metric

from faithcheck.errors import UserError
from faithcheck.report import github, markdown

COMMAND = re.compile(r"::(error|warning|notice) ([^:]*)::(.*)")


def decoded(text):
    """As the runner does: it decodes `%25` last."""
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, character)
    return text


def commands(result):
    """(kind, settings, message) of every line."""
    found = []
    for line in github.render(result).splitlines():
        kind, settings, message = COMMAND.fullmatch(line).groups()
        pairs = (pair.split("=", 1) for pair in settings.split(","))
        found.append((kind, {key: decoded(value) for key, value in pairs}, decoded(message)))
    return found


def asked(lines, file="suites/mine.yaml"):
    return {"file": file, "checks": [{"name": "sufficiency", "gates": {"loss": "<= 0.2"}, "lines": lines}]}


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [("FAIL", "error"), ("ERROR", "error"), ("INCONCLUSIVE", "warning"), ("NOT_APPLICABLE", "notice"), ("PASS", None)],
)
def test_every_verdict_but_pass_is_an_annotation_of_its_kind(tmp_path, verdict, kind):
    found = commands(loaded(tmp_path, [check("PASS", "first"), check(verdict, reason="because")]))
    title = f"sufficiency on pronoun: {verdict}"
    assert found == ([(kind, {"title": title}, "because")] if kind else [])


def place(found):
    return found[0][1].get("file"), found[0][1].get("line")


def test_an_annotation_stands_on_the_line_of_the_gate_that_decided(tmp_path):
    metrics = [metric("size", "PASS"), metric("loss", "INCONCLUSIVE"), metric("gap", "FAIL"), metric("gap", "PASS")]
    suite = asked({"": 9, "size": 11, "loss": 12, "gap": 13})
    found = commands(loaded(tmp_path, [check("FAIL", metrics=metrics)], suite=suite))
    assert place(found) == ("suites/mine.yaml", "13")


@pytest.mark.parametrize("verdict", ["ERROR", "NOT_APPLICABLE", "INCONCLUSIVE"])
def test_an_annotation_that_no_gate_decided_stands_on_the_line_of_the_check(tmp_path, verdict):
    passed = check(verdict, metrics=[metric("loss", "PASS")])
    found = commands(loaded(tmp_path, [check("PASS", "x"), passed], suite=asked({"": 9, "loss": 12})))
    assert place(found) == ("suites/mine.yaml", "9")


@pytest.mark.parametrize(
    "suite",
    [asked({"": 9, "loss": 12}, file=None), asked({"": 9}), asked({})],
    ids=["bundled", "gate of --set", "check of --set"],
)
def test_an_annotation_has_no_file_where_the_gate_stands_in_none(tmp_path, suite):
    assert place(commands(loaded(tmp_path, [check("FAIL")], suite=suite))) == (None, None)


def test_the_file_is_named_from_the_top_of_the_repository(tmp_path, monkeypatch):
    """A workflow's step may have a working directory of its own."""
    repository = tmp_path / "repository"
    (repository / "sub").mkdir(parents=True)
    (repository / "sub" / "mine.yaml").touch()
    monkeypatch.chdir(repository / "sub")
    suite = asked({"loss": 3}, "mine.yaml")
    result = loaded(tmp_path / "out", [check("FAIL")], suite=suite)
    assert place(commands(result)) == ("mine.yaml", "3")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(repository))
    assert place(commands(result)) == ("sub/mine.yaml", "3")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "out"))
    assert place(commands(result)) == ("mine.yaml", "3")


def test_what_would_end_a_command_or_a_setting_is_escaped(tmp_path):
    checks = [check("FAIL", "a,b:c%0A", "t::x", reason="100%: a,b\r\n::error::x", metrics=[])]
    suite = {"file": "a,b:%.yaml", "checks": [{"name": "a,b:c%0A", "lines": {"": 1}}]}
    line = github.render(loaded(tmp_path, checks, suite=suite))
    assert line == (
        "::error file=a%2Cb%3A%25.yaml,line=1,title=a%2Cb%3Ac%250A on t%3A%3Ax%3A FAIL::100%25: a,b\\r\\n::error::x\n"
    )


def test_errors_come_first_and_crashes_before_failed_gates(tmp_path):
    checks = [check(v, f"check{i}") for i, v in enumerate(["NOT_APPLICABLE", "INCONCLUSIVE", "FAIL", "ERROR"])]
    titles = [settings["title"].split(": ")[1] for _, settings, _ in commands(loaded(tmp_path, checks))]
    assert titles == ["ERROR", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE"]


def test_github_shows_ten_of_a_kind_and_the_last_says_how_many_more_there_are(tmp_path):
    failed = [check("FAIL", f"check{i}") for i in range(10)]
    assert len(commands(loaded(tmp_path, failed))) == 10
    found = commands(loaded(tmp_path, [*failed, check("INCONCLUSIVE", "open"), check("ERROR", "crashed")]))
    errors = [message for kind, _, message in found if kind == "error"]
    assert len(errors) == 10
    assert errors[-1].startswith("and 2 more")
    assert found[0][1]["title"] == "crashed on pronoun: ERROR"
    assert [settings["title"] for kind, settings, _ in found if kind == "warning"] == ["open on pronoun: INCONCLUSIVE"]


@pytest.mark.parametrize(
    ("verdicts", "interrupted", "kinds"),
    [(["PASS"], True, ["error"]), ([], True, ["error"]), ([], False, ["warning"]), (["PASS"], False, [])],
)
def test_a_run_that_was_interrupted_or_tested_nothing_is_an_annotation(tmp_path, verdicts, interrupted, kinds):
    found = commands(loaded(tmp_path, [check(v) for v in verdicts], interrupted=interrupted))
    assert [kind for kind, _, _ in found] == kinds


def test_lost_evidence_is_a_notice(tmp_path):
    entry = evidence(tmp_path, "x", {"loss": [0.1]})
    result = loaded(tmp_path, [check("PASS", evidence=entry)])
    assert commands(result) == []
    (tmp_path / entry["file"]).unlink()
    assert [(kind, message) for kind, _, message in commands(result)] == [
        ("notice", "the evidence file evidence/x.safetensors is not there")
    ]


def test_the_step_summary_is_the_markdown_report_after_what_is_there(tmp_path):
    file = tmp_path / "summary.md"
    result = loaded(tmp_path, [check(v, check=v) for v in VERDICTS])
    github.append_summary(result, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text() == markdown.render(result)
    file.write_text("# earlier\n")
    github.append_summary(result, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text() == "# earlier\n\n" + markdown.render(result)


@pytest.mark.parametrize("there", [0, 1000, 1024 * 1024 - 10, 1024 * 1024 + 10])
def test_a_step_summary_is_never_longer_than_github_shows(tmp_path, there):
    file = tmp_path / "summary.md"
    file.write_text("x" * there)
    result = loaded(tmp_path, [check("FAIL", f"check{i}", reason="é" * 200_000) for i in range(4)])
    github.append_summary(result, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.stat().st_size <= max(there, github.SUMMARY_BYTES)
    assert ("it is too long" in file.read_text()) is (there <= 1000)


def test_without_a_step_summary_nothing_is_written(tmp_path):
    before = set(tmp_path.iterdir())
    github.append_summary(loaded(tmp_path / "out", [check("PASS")]), {})
    assert {path.name for path in tmp_path.iterdir()} - {path.name for path in before} == {"out"}


def test_a_step_summary_that_cannot_be_written_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="GITHUB_STEP_SUMMARY"):
        github.append_summary(loaded(tmp_path, [check("PASS")]), {"GITHUB_STEP_SUMMARY": str(tmp_path)})
