"""The reports of real runs, on a tiny model: what `faithcheck run --report` leaves."""

from __future__ import annotations

import json

import pytest
from xunit_rules import read

from faithcheck import run_suite
from faithcheck.cli import main
from faithcheck.errors import Interrupted
from faithcheck.report.command import render
from faithcheck.report.reading import load_result
from faithcheck.text import one_line

SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun]
method: full
seeds: 1
target_loss: 0.15
checks:
  - sufficiency:
      gates:
        node_fraction: "<= 0.5"
  - "plugins.py:{check}"
"""
PLUGINS = r'''
import signal
from faithcheck.check import Measurement, Metric
from faithcheck.estimate import Estimate

HOSTILE = "\x1b[31m<b>|`@octocat\n::error::x\u202e\ud800]]>"

class Hostile:
    """Every text of it would do harm."""
    name = HOSTILE
    scope = "circuit"
    question = HOSTILE
    gates = {HOSTILE: "<= 1"}

    def measure(self, subject):
        return Measurement([Metric(HOSTILE, Estimate.exact(2, 1), subject.seed, on=HOSTILE)], remark=HOSTILE)

    def sentence(self, metric, verdict):
        return HOSTILE

class Open(Hostile):
    name = "open"

    def measure(self, subject):
        return Measurement(undecided="too little is known")

class Interrupts(Hostile):
    name = "interrupts"

    def measure(self, subject):
        signal.raise_signal(signal.SIGINT)
'''
REPORTS = [f"--report={form}" for form in ("markdown", "junit", "github")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the suite with a check in place, into the folder `out`; the exit code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins.py").write_text(PLUGINS, encoding="utf-8")

    def run(check, *args):
        (tmp_path / "mine.yaml").write_text(SUITE.format(check=check))
        return main(["run", "mine.yaml", "--out", "out", *args])

    return run


def test_reports_lie_beside_the_result_and_are_those_of_the_report_command(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert run("Hostile", *REPORTS) == 1
    out = capsys.readouterr().out
    result = load_result(tmp_path / "out")
    assert (tmp_path / "out" / "report.md").read_text(encoding="utf-8") == render(result, "markdown")
    assert (tmp_path / "out" / "junit.xml").read_text(encoding="utf-8") == render(result, "junit")
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == render(result, "markdown")
    assert out.startswith(render(result, "terminal").split("\n")[0].rstrip())
    assert out.endswith(render(result, "github"))
    assert "Report: out/report.md\nReport: out/junit.xml\n" in out


def test_hostile_texts_of_a_plugin_come_through_a_run_as_text(run, tmp_path, capsys):
    assert run("Hostile") == 1
    assert [c for c in capsys.readouterr().out if not c.isprintable() and c != "\n"] == []
    result = load_result(tmp_path / "out")
    hostile = result.data.checks[1]
    assert hostile.check == "\x1b[31m<b>|`@octocat\n::error::x\u202e\ud800]]>"
    case = list(read(render(result, "junit")).iter("testcase"))[1]
    assert (case.get("name"), case.find("failure").get("message")) == (
        one_line(hostile.check),
        one_line(hostile.reason),
    )


def test_annotations_stand_on_the_lines_of_the_suite(run, capsys):
    assert run("Hostile", "--report", "github") == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::error ")]
    assert [line.split(",title")[0] for line in lines] == [
        "::error file=mine.yaml,line=10",
        "::error file=mine.yaml,line=11",
    ]


def test_no_line_of_the_terminal_report_is_a_command_to_the_runner(run, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert run("Hostile", "--report", "github") == 1
    first, *lines = capsys.readouterr().out.splitlines()
    end = first.removeprefix("::stop-commands::")
    assert len(end) == 32
    off = lines.index(f"::{end}::")
    assert lines[0].startswith("Verdicts")
    assert lines[off - 1].startswith("Files:")
    assert all(line.startswith("::error ") for line in lines[off + 1 :])


def test_the_junit_file_agrees_with_an_exit_code_that_allows_inconclusive(run, tmp_path):
    for args, code, outcome in ((["--allow-inconclusive"], 0, "skipped"), ([], 4, "failure")):
        assert run("Open", "--report=junit", "--set", "checks.sufficiency.gates.node_fraction=<= 1", *args) == code
        top = read((tmp_path / "out" / "junit.xml").read_text(encoding="utf-8"))
        case = next(case for case in top.iter("testcase") if case.get("name") == "open")
        assert case.find(outcome).get("type") == "INCONCLUSIVE"


def test_a_gate_of_the_command_line_stands_in_no_file(run, capsys):
    assert run("Hostile", "--report", "github", "--set", "checks.sufficiency.gates.node_fraction=<= 0.25") == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::error ")]
    assert lines[0].startswith("::error title=sufficiency on pronoun")
    assert lines[1].startswith("::error file=mine.yaml,line=11")


def test_reports_of_an_earlier_run_do_not_stay(run, tmp_path, capsys):
    assert run("Hostile", *REPORTS) == 1
    (tmp_path / "out" / "report.html").touch()
    (tmp_path / "out" / "mine.txt").touch()
    assert run("Hostile", "--report", "junit") == 1
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        "result.json",
        "junit.xml",
        "mine.txt",
    }


def test_an_interrupted_run_writes_its_reports_and_none_is_green(run, tmp_path, capsys):
    assert run("Interrupts", *REPORTS, "--set", "checks.sufficiency.gates.node_fraction=<= 1") == 130
    said = capsys.readouterr()
    assert "what was finished is kept in out" in said.err
    assert "::error title=suite mine::the run was interrupted" in said.out
    top = read((tmp_path / "out" / "junit.xml").read_text(encoding="utf-8"))
    assert (top.get("tests"), top.get("failures"), top.get("errors")) == ("2", "0", "1")
    assert "**interrupted**" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_an_interrupted_run_exits_with_130_also_where_a_report_cannot_be_written(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert run("Interrupts", "--report", "github") == 130
    said = capsys.readouterr().err
    assert "GITHUB_STEP_SUMMARY" in said
    assert "interrupted" in said


def test_a_report_that_cannot_be_written_is_said_and_the_result_is_kept(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert run("Hostile", "--report", "github") == 2
    assert "GITHUB_STEP_SUMMARY" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "result.json").read_text())["verdict"] == "FAIL"


def test_from_python_an_interrupted_run_says_where_what_was_finished_is(run, tmp_path):
    (tmp_path / "mine.yaml").write_text(SUITE.format(check="Interrupts"))
    with pytest.raises(Interrupted) as stop:
        run_suite("mine.yaml", out="elsewhere")
    assert load_result(stop.value.out).data.interrupted
    assert isinstance(stop.value, KeyboardInterrupt)


def test_two_checks_that_call_themselves_the_same_are_refused(run, tmp_path, capsys):
    (tmp_path / "more.py").write_text(PLUGINS + "\nclass Same(Hostile):\n    name = 'sufficiency'\n", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(SUITE.format(check="Same").replace("plugins.py", "more.py"))
    assert main(["validate", "mine.yaml"]) == 2
    assert "mine.yaml:11: two checks are called 'sufficiency'" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["pdf", "terminal"])
def test_a_format_that_a_run_does_not_write_is_refused_before_it_runs(run, tmp_path, capsys, form):
    with pytest.raises(SystemExit) as stop:
        run("Hostile", "--report", form)
    assert stop.value.code == 2
    assert not (tmp_path / "out").exists()
