"""The result of a claim in every format: what is wrong there is a verdict that is not the one claimed."""

from __future__ import annotations

import itertools

import pytest
from results import VERDICTS, check, loaded, result, write
from xunit_rules import read

from faithcheck.report.command import render
from faithcheck.report.reading import load_result


def claim(claimed, found):
    holds = claimed == found
    said = [] if holds else [{"sentence": f"sufficiency: {claimed} was claimed, {found} found", "line": 9}]
    verdicts = {"sufficiency": claimed}
    return {"text": "it does it", "file": "claims/mine.yaml", "verdicts": verdicts, "holds": holds, "objections": said}


def of(folder, claimed, found, *others):
    checks = [check(found), *(check(verdict, f"other {verdict}") for verdict in others)]
    return loaded(folder, checks, claim=claim(claimed, found))


@pytest.mark.parametrize(("claimed", "found"), list(itertools.product(["PASS", "FAIL", "INCONCLUSIVE"], VERDICTS)))
def test_junit_is_green_where_the_claim_holds_and_only_there(tmp_path, claimed, found):
    top = read(render(of(tmp_path, claimed, found, *VERDICTS), "junit"))
    assert (int(top.get("failures")) + int(top.get("errors")) == 0) is (claimed == found)


def test_a_claim_that_was_interrupted_is_not_green(tmp_path):
    data = result([check("PASS")], interrupted=True, claim=claim("PASS", "PASS"))
    assert read(render(load_result(write(tmp_path, data)), "junit")).get("errors") == "1"


def test_the_page_says_whether_the_claim_holds_and_why_not(tmp_path):
    assert "The claim holds" in render(of(tmp_path, "FAIL", "FAIL"), "html")
    page = render(of(tmp_path, "FAIL", "PASS"), "html")
    assert "The claim holds" not in page
    assert "The claim does not hold" in page
    assert "sufficiency: FAIL was claimed, PASS found" in page


def test_annotations_are_on_the_lines_of_the_claim_and_none_on_a_verdict_that_was_claimed(tmp_path):
    assert render(of(tmp_path, "FAIL", "FAIL"), "github") == ""
    assert render(of(tmp_path, "FAIL", "PASS"), "github") == (
        "::error file=claims/mine.yaml,line=9,title=the claim does not hold::"
        "sufficiency: FAIL was claimed, PASS found\n"
    )
