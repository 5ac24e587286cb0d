"""How several verdicts make one."""

from itertools import permutations

import pytest

from faithcheck.verdict import Verdict, worst

PASS, FAIL, INCONCLUSIVE, NOT_APPLICABLE, ERROR = Verdict


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([PASS, PASS], PASS),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, FAIL, PASS], FAIL),
        ([FAIL, ERROR], ERROR),
        ([PASS, ERROR], ERROR),
    ],
)
def test_the_worst_applicable_verdict_wins_in_any_order(verdicts, expected):
    assert {worst(order) for order in permutations(verdicts)} == {expected}


@pytest.mark.parametrize("verdict", [PASS, FAIL, INCONCLUSIVE, ERROR])
def test_what_does_not_apply_changes_nothing(verdict):
    assert worst([NOT_APPLICABLE, verdict]) is verdict


@pytest.mark.parametrize("verdicts", [[], [NOT_APPLICABLE]])
def test_nothing_at_all_is_never_a_pass(verdicts):
    assert worst(verdicts) is NOT_APPLICABLE


def test_a_generator_will_do():
    assert worst(v for v in (PASS, FAIL)) is FAIL


def test_a_verdict_prints_as_its_name():
    assert [str(v) for v in Verdict] == ["PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE", "ERROR"]
