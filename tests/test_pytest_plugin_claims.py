"""`pytest claims/`: a claim is one test, which says in the claim's own words what no longer holds. Runs are faked."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from claiming import content, folder_of
from diffing import circuit
from plugin_projects import outcomes, run_pytest
from plugin_suites import SUITE

from faithcheck.claims.judging import Objection
from faithcheck.claims.outcome import Outcome, State
from faithcheck.claims.reports import junit
from faithcheck.errors import Location
from faithcheck.in_pytest import sharing
from faithcheck.result_schema import SCHEMA

pytest_plugins = ["pytester", "plugin_sessions"]

CLAIM = f"""\
faithcheck: 1
claim: A few nodes do it
circuit: a.safetensors
identity: {"a" * 64}
model: stories-tiny
fingerprint: f
task: pronoun
suite: quick
verdicts: {{layernorm: PASS}}
"""
RESULT = {
    "schema": SCHEMA,
    "verdict": "PASS",
    "interrupted": False,
    "suite": {"name": "quick"},
    "method": None,
    "model": {"name": "m", "fingerprint": "f"},
    "circuits": [],
    "checks": [{"check": "layernorm", "task": "pronoun", "verdict": "PASS", "reason": "it does"}],
    "environment": {},
    "timing": {"total_seconds": 0.0},
    "claim": {"text": "A few nodes do it", "file": "a.yaml", "verdicts": {"layernorm": "PASS"}, "holds": True},
}
SENTENCE = "layernorm: PASS was claimed, FAIL found"


class FakedClaims:
    """In the place of `process.run`: the `state` of the claim, and what is laid over its files and its exit code."""

    def __init__(self):
        self.state, self.code, self.result, self.files, self.asked = State.HOLDS, None, RESULT, True, []

    def __call__(self, arguments, cwd, log, keeps_open, show):
        self.asked.append(arguments)
        file, out = Path(arguments[1]), Path(arguments[-1])
        log.write_text("what it printed\n")
        said = Objection(SENTENCE, Location(str(file)), self.state is State.CRASHED)
        found = () if self.state is State.HOLDS else (said,)
        if self.files:
            (out / "junit.xml").write_text(junit([Outcome(file.stem, file, "A few", self.state, found)]))
        if self.result is not None and self.files:
            (out / file.stem).mkdir(exist_ok=True)
            (out / file.stem / "result.json").write_text(json.dumps(self.result))
        return self.state.code if self.code is None else self.code


@pytest.fixture
def faked(pytester, monkeypatch, alone):
    runs = FakedClaims()
    monkeypatch.setattr(sharing, "run", runs)
    pytester.mkdir("claims").joinpath("a.yaml").write_text(CLAIM)
    return runs


def test_a_claim_is_one_test_beside_which_a_suite_without_a_method_is_skipped(pytester, faked):
    (pytester.path / "claims" / "own.yaml").write_text(SUITE.replace("method: full\n", ""))
    result = pytester.runpytest("-v", "claims")
    result.stdout.fnmatch_lines(["claims/a.yaml::holds PASSED *"])
    result.assert_outcomes(passed=1, skipped=1)
    assert [arguments[:3] for arguments in faked.asked] == [["run", "claims/a.yaml", "--report"]]


OUTCOMES = [
    (State.HOLDS, {"passed": 1}, 0, None),
    (State.BROKEN, {"failed": 1}, 1, "claim does not hold: A few nodes do it"),
    (State.UNTESTABLE, {"errors": 1}, 1, "claim cannot be tested: A few nodes do it"),
    (State.CRASHED, {"errors": 1}, 1, "claim crashed: A few nodes do it"),
    (State.INTERRUPTED, {"errors": 1}, 1, "claim interrupted: A few nodes do it"),
]


@pytest.mark.parametrize(("state", "expected", "code", "first"), OUTCOMES)
def test_a_claim_that_does_not_hold_fails_and_one_that_is_not_tested_is_an_error(
    pytester, faked, state, expected, code, first
):
    faked.state = state
    result = pytester.runpytest()
    result.assert_outcomes(**expected)
    assert result.ret == code
    if first is not None:
        result.stdout.fnmatch_lines(
            [
                first,
                SENTENCE,
                "results:   faithcheck-results/pytest/claims/a.yaml/a/result.json",
                "reproduce: faithcheck run claims/a.yaml",
            ]
        )


UNTRUSTED = {
    "killed": {"code": -9},
    "an exit code that is not that of the outcome": {"state": State.BROKEN, "code": 0},
    "no report": {"files": False},
    "no result": {"result": None},
    "a result of a claim that does not hold": {"result": {**RESULT, "claim": {**RESULT["claim"], "holds": False}}},
    "a result of no claim": {"result": {**RESULT, "claim": None}},
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_what_a_run_leaves_must_agree_and_what_an_earlier_one_left_counts_for_nothing(pytester, faked, case):
    pytester.runpytest().assert_outcomes(passed=1)
    for name, value in UNTRUSTED[case].items():
        setattr(faked, name, value)
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*what it printed"])


def test_a_claim_about_a_circuit_that_its_test_would_remove_is_an_error_and_loses_nothing(pytester, faked):
    file = Path("faithcheck-results/pytest/claims/a.yaml/a/circuits/x.safetensors")
    faked.result = {**RESULT, "circuits": [circuit("pronoun", None) | {"file": "circuits/x.safetensors"}]}
    pytester.runpytest().assert_outcomes(passed=1)
    (pytester.path / file).parent.mkdir()
    (pytester.path / file).write_text("precious")
    (pytester.path / "claims" / "a.yaml").write_text(CLAIM.replace("a.safetensors", f"../{file}"))
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["claims/a.yaml:3: circuit: *is of the results in*which this run replaces*"])
    assert len(faked.asked) == 1
    assert (pytester.path / file).read_text() == "precious"


@pytest.mark.parametrize(("args", "expected"), [(["-m", "faithcheck(claim='a')"], 1), (["-m", "not faithcheck"], 0)])
def test_claims_are_selected_by_a_mark(pytester, faked, args, expected):
    pytester.runpytest(*args).assert_outcomes(passed=expected, deselected=1 - expected)
    assert len(faked.asked) == expected


@pytest.mark.parametrize("option", ["--setup-plan", "--setup-only", "--collect-only"])
def test_a_session_that_only_shows_what_it_would_do_tests_no_claim(pytester, faked, option):
    pytester.runpytest(option)
    assert faked.asked == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("model:", "modell:", "claims/a.yaml:5: modell: unknown key;"),
        ("faithcheck: 1\n", "", "claims/a.yaml:1: faithcheck: "),
        ("PASS}", "PASS", "claims/a.yaml:"),
        ("PASS}", "ERROR}", "claims/a.yaml:9: verdicts.layernorm: "),
    ],
)
def test_a_broken_claim_is_an_error_of_collection(pytester, faked, old, new, expected):
    (pytester.path / "claims" / "a.yaml").write_text(CLAIM.replace(old, new, 1))
    result = pytester.runpytest("-q")
    result.assert_outcomes(errors=1)
    assert result.stdout.str().split("ERROR collecting claims/a.yaml")[1].split("\n", 1)[1].startswith(expected)
    assert faked.asked == []


def test_junit_says_which_claim(pytester, faked):
    faked.state = State.BROKEN
    pytester.runpytest("--junitxml=junit.xml")
    [case] = ET.parse(pytester.path / "junit.xml").getroot().iter("testcase")
    assert (case.get("classname"), case.get("name")) == ("claims.a.yaml", "holds")
    assert SENTENCE in case.find("failure").text


def test_a_claim_is_tested_by_the_command_line(tmp_path):
    folder_of(tmp_path, wrong=content(verdicts={"layernorm": "FAIL"}))
    said = run_pytest(tmp_path, "claims")
    assert outcomes(said) == {"failed": 1}
    assert "layernorm: FAIL was claimed, PASS found, which is better than claimed: when each norm" in said
