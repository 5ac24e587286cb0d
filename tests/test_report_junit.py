"""The report as JUnit XML."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest
from results import VERDICTS, check, evidence, loaded, metric
from xunit_rules import read

from faithcheck.report import junit
from faithcheck.report.beside import traceback_of
from faithcheck.verdict import Verdict, exit_code

OUTCOMES = {"FAIL": "failure", "INCONCLUSIVE": "failure", "ERROR": "error", "NOT_APPLICABLE": "skipped", "PASS": None}


def case(result, name="sufficiency"):
    """The test case of a check."""
    return next(found for found in read(junit.render(result)).iter("testcase") if found.get("name") == name)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_has_its_outcome_with_the_sentence(tmp_path, verdict):
    found = case(loaded(tmp_path, [check(verdict, reason='because <b> & "c"')]))
    said = [child for child in found if child.tag in ("failure", "error", "skipped")]
    assert [child.tag for child in said] == ([OUTCOMES[verdict]] if OUTCOMES[verdict] else [])
    assert [(child.get("type"), child.get("message")) for child in said] == [
        (verdict, 'because <b> & "c"') for _ in said
    ]


def test_there_is_one_test_case_a_task_and_check_in_a_suite_a_task(tmp_path):
    asked = list(itertools.product(("pronoun", "ioi"), ("sufficiency", "layernorm")))
    top = read(junit.render(loaded(tmp_path, [check("PASS", name, task) for task, name in asked])))
    assert [suite.get("name") for suite in top] == ["mine.pronoun", "mine.ioi"]
    assert [(found.get("classname"), found.get("name")) for found in top.iter("testcase")] == [
        (f"mine.{task}", name) for task, name in asked
    ]


def test_the_time_of_a_case_is_that_of_its_check_and_a_suite_has_its_extractions_too(tmp_path):
    cases = {"pronoun: extract, seed 0": 90.5, "pronoun: sufficiency": 0.25, "pronoun: layernorm": 1.5, "ioi: x": 7}
    timing = {"total_seconds": 100.1239, "cases": [{"case": name, "seconds": took} for name, took in cases.items()]}
    result = loaded(tmp_path, [check("PASS"), check("PASS", "layernorm")], timing=timing)
    top = read(junit.render(result))
    assert [found.get("time") for found in top.iter("testcase")] == ["0.250", "1.500"]
    assert [suite.get("time") for suite in top] == ["92.250"]
    assert top.get("time") == "100.124"


def test_metrics_are_properties_of_the_suite_and_gated_ones_stand_in_the_output_of_the_case(tmp_path):
    """xunit2 has no properties in a test case."""
    metrics = [
        metric(verdict="FAIL", on="unseen"),
        metric("size", estimate=23.0, low=23.0, high=23.0, seed=None),
        metric("steps", estimate=None),
    ]
    top = read(junit.render(loaded(tmp_path, [check("FAIL", metrics=metrics)])))
    assert [(each.get("name"), each.get("value")) for each in top.iter("property")] == [
        ("sufficiency.loss on unseen, seed 0", "0.125 [0.075, 0.175], gate <= 0.2: FAIL"),
        ("sufficiency.size", "23"),
        ("sufficiency.steps, seed 0", "not reached"),
    ]
    assert [out.text for out in top.iter("system-out")] == [
        "sufficiency.loss on unseen, seed 0: 0.125 [0.075, 0.175], gate <= 0.2: FAIL"
    ]


def test_an_error_has_its_traceback(tmp_path):
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "x.txt").write_bytes("Traceback:\n  line \x1b[0m é]]>".encode() + b"\xff")
    result = loaded(tmp_path, [check("ERROR", reason="it crashed", details="errors/x.txt")])
    assert case(result).find("error").text == "Traceback:\n  line \\x1b[0m é]]>\\xff"


@pytest.mark.parametrize("details", ["errors/gone.txt", "../secret.txt", "errors", "a\0b", "link.txt"])
def test_a_traceback_that_is_gone_or_elsewhere_is_said_to_be(tmp_path, details):
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "run"
    (folder / "errors").mkdir(parents=True)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    result = loaded(folder, [check("ERROR", details=details)])
    assert traceback_of(result, result.data.checks[0]).startswith("the traceback ")
    assert "secret" not in junit.render(result).replace("../secret.txt", "")


def red(result, *args):
    top = read(junit.render(result, *args))
    return int(top.get("failures")) + int(top.get("errors")) > 0


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("count", range(len(VERDICTS) + 1))
def test_the_file_is_green_where_the_exit_code_is_0_and_only_there(tmp_path, count, interrupted, lenient):
    for verdicts in itertools.combinations(VERDICTS, count):
        result = loaded(tmp_path, [check(v, check=v) for v in verdicts], interrupted=interrupted)
        code = exit_code(Verdict(result.data.verdict), interrupted, lenient)
        assert red(result, lenient) is (code != 0), verdicts


@pytest.mark.parametrize(
    ("checks", "interrupted", "outcome"),
    [
        ([], False, "failure"),
        (["NOT_APPLICABLE"], False, "failure"),
        ([], True, "error"),
        (["PASS"], True, "error"),
        (["NOT_APPLICABLE"], True, "error"),
    ],
)
def test_a_run_that_tested_nothing_or_was_interrupted_has_a_test_case_of_its_own(
    tmp_path, checks, interrupted, outcome
):
    result = loaded(tmp_path, [check(v) for v in checks], interrupted=interrupted)
    found = case(result, "run")
    assert found.get("classname") == "mine"
    assert [child.tag for child in found] == [outcome]


def test_lost_evidence_is_named_and_changes_no_outcome(tmp_path):
    entry = evidence(tmp_path, "pronoun-sufficiency", {"loss": [0.1]})
    result = loaded(tmp_path, [check("PASS", evidence=entry)])
    assert len(list(read(junit.render(result)).iter("testcase"))) == 1
    (tmp_path / entry["file"]).unlink()
    assert "is not there" in case(result, "run").find("system-err").text
    assert not red(result)


BROKEN = {
    "properties in a test case": "<testcase name='a'><properties /></testcase>",
    "a test case without a name": "<testcase />",
    "an attribute of xunit1": "<testcase name='a' file='x' />",
    "two outcomes counted as none": "<testcase name='a'><failure /></testcase>",
    "text between": "text",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_the_rules_refuse_what_xunit2_does_not_have(content):
    tests = content.count("<testcase")
    text = f"<testsuites><testsuite name='s' tests='{tests}' failures='0' errors='0'>{content}</testsuite></testsuites>"
    with pytest.raises(AssertionError):
        read(text)


def test_the_rules_refuse_characters_that_xml_forbids():
    with pytest.raises(ElementTree.ParseError):
        read("<testsuites name='\x1b' />")


def test_the_file_says_that_it_is_utf8(tmp_path):
    text = junit.render(loaded(tmp_path, [check("FAIL", reason="\U0001f600")]))
    assert text.splitlines()[0] == "<?xml version='1.0' encoding='utf-8'?>"
    assert "\U0001f600" in text
