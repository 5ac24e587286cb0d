"""What pytest says of each verdict, in its report, in JUnit and by its exit code. The runs themselves are faked."""

from __future__ import annotations

import io
import json
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest
from faked_runs import REASON
from plugin_suites import SUITE

from faithcheck.in_pytest import fixture, items, live, sharing  # noqa: F401  (kept between sessions inside this process)

pytest_plugins = ["pytester", "plugin_sessions"]
pytestmark = pytest.mark.usefixtures("alone")


def test_every_pass_is_a_pass(pytester, faked):
    result = pytester.runpytest()
    result.assert_outcomes(passed=6)
    assert result.ret == 0


OUTCOMES = [
    ("FAIL", [], {"failed": 1, "passed": 2}, 1),
    ("INCONCLUSIVE", [], {"failed": 1, "passed": 2}, 1),
    ("ERROR", [], {"errors": 1, "passed": 2}, 1),
    ("NOT_APPLICABLE", [], {"skipped": 1, "passed": 2}, 0),
    ("FAIL", ["--faithcheck-allow-inconclusive"], {"failed": 1, "passed": 2}, 1),
    ("ERROR", ["--faithcheck-allow-inconclusive"], {"errors": 1, "passed": 2}, 1),
    ("INCONCLUSIVE", ["--faithcheck-allow-inconclusive"], {"skipped": 1, "passed": 2}, 0),
]


@pytest.mark.parametrize(("verdict", "args", "outcomes", "code"), OUTCOMES)
def test_a_verdict_has_its_outcome(pytester, faked, verdict, args, outcomes, code):
    faked.verdicts["pronoun", "layernorm"] = verdict
    result = pytester.runpytest("mine.yaml::pronoun", *args)
    result.assert_outcomes(**outcomes)
    assert result.ret == code


def test_a_task_on_which_nothing_applies_does_not_pass_by_being_skipped(pytester, faked):
    faked.verdicts |= {
        ("pronoun", check): "NOT_APPLICABLE" for check in ("sufficiency", "nonsense_control", "layernorm")
    }
    result = pytester.runpytest()
    result.assert_outcomes(failed=1, skipped=2, passed=3)
    result.stdout.fnmatch_lines(["FAILED mine.yaml::pronoun::sufficiency*"])
    result.stdout.fnmatch_lines(["nothing was applicable on this task, so nothing was tested: the circuit does what *"])
    pytester.runpytest("-k", "pronoun and layernorm").assert_outcomes(failed=1)
    pytester.runpytest("--faithcheck-allow-inconclusive").assert_outcomes(skipped=3, passed=3)


def test_a_failure_is_the_sentence_the_gated_numbers_the_files_and_the_line_that_does_it_again(pytester, faked):
    faked.verdicts["pronoun", "layernorm"] = "FAIL"
    result = pytester.runpytest("mine.yaml::pronoun")
    text = result.stdout.str().split("pronoun: layernorm (mine.yaml) __")[1].split("\n", 1)[1].split("\n=====")[0]
    assert text.splitlines() == [
        "the circuit does what layernorm says, in FAIL words",
        "",
        "  error       seed 1  4 [3.5, unbounded]  gate <= 1   FAIL",
        "  size (far)          not reached         gate >= 10  FAIL",
        "  error       seed 0  0.125 [0.1, 0.15]   gate <= 1   PASS",
        "",
        "results:   faithcheck-results/pytest/mine.yaml/pronoun/result.json",
        """reproduce: faithcheck run mine.yaml --set 'tasks=["pronoun"]'""",
    ]
    result.stdout.fnmatch_lines(["FAILED mine.yaml::pronoun::layernorm - Failed: the circuit does wha*"])


def test_an_inconclusive_says_that_it_is_no_failed_gate_and_an_error_where_its_traceback_is(pytester, faked):
    faked.verdicts |= {("pronoun", "layernorm"): "INCONCLUSIVE", ("pronoun", "nonsense_control"): "ERROR"}
    result = pytester.runpytest("mine.yaml::pronoun")
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of pronoun: nonsense_control (mine.yaml)*",
            REASON.format("nonsense_control", "ERROR"),
            "traceback: faithcheck-results/pytest/mine.yaml/pronoun/errors/pronoun.txt",
            f"INCONCLUSIVE: {REASON.format('layernorm', 'INCONCLUSIVE')}",
        ]
    )


def test_no_report_holds_a_traceback_of_ours(pytester, faked):
    faked.verdicts |= {"sufficiency": "FAIL", "nonsense_control": "ERROR", "layernorm": "INCONCLUSIVE"}
    said = pytester.runpytest().stdout.str()
    assert ".py" not in said.split("collected")[1]
    assert "Traceback" not in said
    assert "During handling" not in said


def test_a_skipped_test_gives_the_reason_and_the_line_of_its_check(pytester, faked):
    faked.verdicts["pronoun", "layernorm"] = "NOT_APPLICABLE"
    result = pytester.runpytest("-rs", "mine.yaml::pronoun")
    result.stdout.fnmatch_lines([f"SKIPPED [[]1[]] mine.yaml:9: {REASON.format('layernorm', 'NOT_APPLICABLE')}"])


def test_control_characters_are_shown_and_not_obeyed(pytester, faked, monkeypatch):
    monkeypatch.setattr("faked_runs.REASON", "red \x1b[31m{} {}\u202e")
    faked.verdicts |= {"sufficiency": "FAIL", "nonsense_control": "ERROR"}
    said = pytester.runpytest("--color=no").stdout.str()
    assert "red \\x1b[31msufficiency FAIL\\u202e" in said
    assert "\x1b" not in said


def test_junit_has_failures_errors_and_skips_by_name(pytester, faked):
    faked.verdicts |= {
        ("pronoun", "sufficiency"): "FAIL",
        ("pronoun", "nonsense_control"): "NOT_APPLICABLE",
        ("pronoun", "layernorm"): "ERROR",
        ("questions", "sufficiency"): "INCONCLUSIVE",
    }
    pytester.runpytest("--junitxml=junit.xml")
    cases = ET.parse(pytester.path / "junit.xml").getroot().iter("testcase")
    found = {(case.get("classname"), case.get("name")): [child.tag for child in case] for case in cases}
    assert found == {
        ("mine.yaml.pronoun", "sufficiency"): ["failure"],
        ("mine.yaml.pronoun", "nonsense_control"): ["skipped"],
        ("mine.yaml.pronoun", "layernorm"): ["error"],
        ("mine.yaml.questions", "sufficiency"): ["failure"],
        ("mine.yaml.questions", "nonsense_control"): [],
        ("mine.yaml.questions", "layernorm"): [],
    }


def sets(arguments):
    """What of the suite a run changed, {key: value}."""
    return {
        key: json.loads(value)
        for key, _, value in (word.partition("=") for word in arguments if word.startswith(("tasks=", "checks=")))
    }


def test_each_task_is_run_once(pytester, faked):
    pytester.runpytest()
    assert [sets(arguments) for arguments in faked.asked] == [{"tasks": ["pronoun"]}, {"tasks": ["questions"]}]


SELECTED = [
    (["mine.yaml::questions"], [{"tasks": ["questions"]}]),
    (["-k", "pronoun and sufficiency"], [{"tasks": ["pronoun"], "checks": ["sufficiency"]}]),
    (
        ["mine.yaml::pronoun::layernorm"],
        [{"tasks": ["pronoun"], "checks": [{"layernorm": {"gates": {"frozen_loss": "<= 0.3"}}}]}],
    ),
    (["-k", "random_weights"], []),
]


@pytest.mark.parametrize(("args", "expected"), SELECTED, ids=str)
def test_only_what_is_selected_is_run_with_its_own_gates(pytester, faked, args, expected):
    pytester.runpytest(*args)
    assert [sets(arguments) for arguments in faked.asked] == expected


@pytest.mark.parametrize("check", ["sufficiency", "nonsense_control", "layernorm"])
def test_a_selected_check_gets_its_own_verdict(pytester, faked, check):
    faked.verdicts["pronoun", check] = "FAIL"
    pytester.runpytest("-k", f"pronoun and {check}").assert_outcomes(failed=1)
    pytester.runpytest("-k", f"pronoun and not {check}").assert_outcomes(passed=2)


def test_the_failed_tests_of_the_last_session_are_run_again_alone(pytester, faked):
    faked.verdicts["questions", "layernorm"] = "FAIL"
    pytester.runpytest()
    faked.asked.clear()
    pytester.runpytest("--lf").assert_outcomes(failed=1)
    assert [sets(arguments)["tasks"] for arguments in faked.asked] == [["questions"]]


def test_after_a_failure_nothing_more_is_run_where_pytest_stops_at_the_first(pytester, faked):
    faked.verdicts["pronoun", "sufficiency"] = "FAIL"
    pytester.runpytest("-x").assert_outcomes(failed=1)
    assert len(faked.asked) == 1


def test_a_run_without_a_result_is_an_error_of_every_test_of_its_task_and_is_not_tried_again(pytester, faked):
    faked.failure = "warming up\nfaithcheck: mine.yaml:4: unknown method 'x'\nsecond line\n"
    result = pytester.runpytest("mine.yaml::pronoun")
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["faithcheck: mine.yaml:4: unknown method 'x'", "second line"])
    result.stdout.no_fnmatch_line("*warming up*")
    assert len(faked.asked) == 1


def test_a_run_that_is_killed_says_by_what(pytester, faked):
    faked.failure, faked.code = "[1/2] pronoun: extract\n", -9
    result = pytester.runpytest("mine.yaml::pronoun::layernorm")
    result.stdout.fnmatch_lines(["the run was ended by SIGKILL"])


def test_a_result_of_an_earlier_session_counts_for_nothing(pytester, faked):
    pytester.runpytest().assert_outcomes(passed=6)
    faked.failure = "faithcheck: gone\n"
    pytester.runpytest().assert_outcomes(errors=6)
    assert len(faked.asked) == 4


def test_the_options_reach_the_run(pytester, faked):
    result = pytester.runpytest("mine.yaml::pronoun", "--faithcheck-method", "random", "--faithcheck-out", "here")
    result.assert_outcomes(passed=3)
    [arguments] = faked.asked
    assert arguments[:4] == ["run", "mine.yaml", "--method", "random"]
    assert (pytester.path / "here/mine.yaml/pronoun/result.json").exists()
    assert not (pytester.path / "faithcheck-results").exists()


def test_suites_of_one_name_in_two_folders_have_results_of_their_own(pytester, faked):
    for folder in ("a", "b"):
        pytester.mkdir(folder).joinpath("mine.yaml").write_text(SUITE)
    pytester.runpytest("a", "b").assert_outcomes(passed=12)
    found = [path.relative_to(pytester.path) for path in pytester.path.rglob("result.json")]
    assert len(found) == 4


def test_progress_is_shown_line_by_line_when_asked_for(pytester, faked):
    line = "*1/1[]] pronoun: layernorm: PASS (0.1 s)"
    pytester.runpytest("-v").stdout.fnmatch_lines([line, "mine.yaml::pronoun::sufficiency PASSED*"])
    pytester.runpytest("-s").stdout.fnmatch_lines([line])
    pytester.runpytest().stdout.no_fnmatch_line(line)


def test_results_that_cannot_be_written_are_an_error_in_words(pytester, faked):
    pytester.path.joinpath("file").write_text("")
    result = pytester.runpytest("--faithcheck-out", "file/inside", "mine.yaml::pronoun::layernorm")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*cannot write results there: *"])


def on_screen(written):
    """The line of a terminal after text with backspaces."""
    cells, place = [], 0
    for character in written:
        if character == "\b":
            place -= 1
        else:
            cells[place : place + 1] = character
            place += 1
    return "".join(cells)


def test_on_a_terminal_progress_takes_the_place_of_what_was_shown_and_leaves_nothing(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    here = live._Here(SimpleNamespace(fullwidth=40, width_of_current_line=10))
    seen = []
    for text in ("starting", "[1/2] a line that is longer than there is room for", "[2/2] short", ""):
        here.show(text)
        seen.append(on_screen(terminal.getvalue()).rstrip())
    assert seen == ["starting", "[1/2] a line that is longer", "[2/2] short", ""]


def test_on_a_line_that_is_full_nothing_is_shown(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    live._Here(SimpleNamespace(fullwidth=80, width_of_current_line=70)).show("starting")
    assert terminal.getvalue() == ""


def test_a_suite_is_found_again_wherever_a_test_before_has_gone(pytester, faked, monkeypatch):
    monkeypatch.chdir(pytester.path)  # and back, afterwards
    pytester.makepyfile(test_away="import os\ndef test_it(): os.chdir('/')")
    pytester.runpytest("test_away.py", "mine.yaml::pronoun").assert_outcomes(passed=4)
    assert faked.asked[0][1] == "mine.yaml"
