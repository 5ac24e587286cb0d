"""Verdicts of two results: which changes are regressions."""

from __future__ import annotations

import itertools

import pytest
from diffing import check, compared, metric, moves, over_seeds, result

VERDICTS = ("PASS", "INCONCLUSIVE", "FAIL", "NOT_APPLICABLE", "ERROR")
JUDGED = VERDICTS[:3]
REGRESSIONS = {
    *((was, "ERROR") for was in (*JUDGED, "NOT_APPLICABLE")),
    *((was, "NOT_APPLICABLE") for was in JUDGED),
    *((was, None) for was in JUDGED),
    ("PASS", "FAIL"),
}
"""Of the same circuits, whatever the metrics are; None: HEAD lacks the check."""


def of(verdict, name="layernorm"):
    return [] if verdict is None else [check(verdict=verdict, name=name)]


@pytest.mark.parametrize(("was", "now"), [*itertools.product((*VERDICTS, None), repeat=2)])
def test_what_becomes_of_a_verdict_of_the_same_seeds(was, now):
    other = check([metric()])  # so that both runs have a circuit of seed 0
    found = compared(result(other, *of(was)), result(other, *of(now)))
    assert bool(found.regressions) is ((was, now) in REGRESSIONS)
    assert found.is_empty is (was == now)


@pytest.mark.parametrize(("was", "now"), [*itertools.permutations(JUDGED, 2)])
def test_of_other_seeds_a_worse_verdict_alone_is_no_regression(was, now):
    base, head = (check(verdict=verdict) for verdict in (was, now))
    assert compared(result(base, seeds=[0, 1]), result(head, seeds=[2, 3])).regressions == 0


@pytest.mark.parametrize("now", ["FAIL", "INCONCLUSIVE", "NOT_APPLICABLE"])
def test_of_one_circuit_each_and_other_seeds_only_a_crash_is_a_regression(now):
    assert compared(result(check(verdict="PASS"), seeds=[0]), result(check(verdict=now), seeds=[1])).regressions == 0
    assert compared(result(check(verdict="PASS"), seeds=[0]), result(check(verdict="ERROR"), seeds=[1])).regressions


def test_a_fail_of_a_seed_that_base_does_not_have_is_no_regression():
    base = result(check(verdict="PASS"), seeds=[0, 1])
    assert compared(base, result(check(verdict="FAIL"), seeds=[0, 1, 2])).regressions == 0
    assert compared(base, result(check(verdict="FAIL"), seeds=[1])).regressions == 1


@pytest.mark.parametrize(("failing", "regressions"), [(0, 0), (1, 1), (2, 0), (3, 0)])
def test_of_seeds_that_overlap_a_fail_of_one_that_both_have_is_a_regression(failing, regressions):
    base = check([metric(seed=i, value=0.15) for i in (0, 1)])
    head = check([metric(seed=i, value=0.25 if i == failing else 0.15) for i in (1, 2, 3)])
    assert compared(result(base), result(head)).regressions == regressions


def test_a_circuit_that_misses_the_target_and_did_not_in_base_is_a_regression():
    base, head = result(check([metric()], "PASS"), seeds=[0]), result(check([metric()], "FAIL"), seeds=[0, 1])
    assert compared(base, head).regressions == 0
    head["circuits"][0]["reached"] = False
    assert compared(base, head).regressions == 1


def test_a_fail_on_other_prompts_is_no_regression_by_itself():
    base, head = result(check(verdict="PASS"), seeds=[0]), result(check(verdict="FAIL"), seeds=[0], prompts="b")
    assert compared(base, head).regressions == 0


def test_a_fail_of_a_given_circuit_that_passed_is_a_regression():
    found = compared(result(check(verdict="PASS"), seeds=[None]), result(check(verdict="FAIL"), seeds=[None]))
    assert [change.regressions for change in found.checks] == [["the given circuit passed in BASE"]]


GOOD, OPEN = [0.05, 0.06, 0.055, 0.05], [0.19, 0.205, 0.195, 0.19]
BAD, WORSE_BAD = [0.5, 0.52, 0.51, 0.505], [0.9, 0.91, 0.93, 0.91]


@pytest.mark.parametrize(
    ("base", "head", "regressions"),
    [
        (GOOD, OPEN, 1),
        (GOOD, BAD, 1),
        (OPEN, BAD, 1),
        (BAD, WORSE_BAD, 1),
        (BAD, OPEN, 0),
        (OPEN, GOOD, 0),
        (BAD, GOOD, 0),
        (WORSE_BAD, BAD, 0),
        (GOOD, [x / 2 for x in GOOD], 0),
        ([x / 2 for x in GOOD], GOOD, 0),  # worse, but its gate holds on all of its interval
    ],
)
@pytest.mark.parametrize("first", [0, 4])
def test_a_gated_metric_that_is_worse_beyond_noise_and_does_not_pass_is_a_regression(base, head, regressions, first):
    found = compared(result(check(over_seeds(base))), result(check(over_seeds(head, first=first))))
    assert found.regressions == regressions


def test_a_metric_that_got_better_does_not_make_up_for_one_that_got_worse_and_holds_no_more():
    before, after = [0.185, 0.186, 0.187, 0.185], [0.215, 0.216, 0.217, 0.215]
    base = check([*over_seeds(before), *over_seeds(BAD, "frozen_loss")])
    head = check([*over_seeds(after, first=4), *over_seeds(OPEN, "frozen_loss", first=4)])
    assert (base["verdict"], head["verdict"]) == ("FAIL", "INCONCLUSIVE")
    found = compared(result(base), result(head))
    assert [moved.move.value for moved in found.gated] == ["worse", "better"]
    assert found.regressions == 1


def test_a_changed_gate_is_named_and_its_verdict_is_no_regression():
    base, head = (check(over_seeds(OPEN, gate=gate)) for gate in ("<= 0.3", "<= 0.1"))
    assert (base["verdict"], head["verdict"]) == ("PASS", "FAIL")
    found = compared(result(base), result(head))
    assert found.regressions == 0
    assert [change.remark for change in found.checks] == ["its gates differ"]
    assert found.settings == ["pronoun, sufficiency, gate of loss: <= 0.3 in BASE, <= 0.1 in HEAD"]


def test_parameters_of_a_check_that_differ_are_named():
    def asked(**parameters):
        tasks = [{"name": "pronoun", "sha256": "p"}]
        checks = [{"name": "sufficiency", "parameters": parameters}]
        return result(check(over_seeds(GOOD)), suite={"name": "mine", "tasks": tasks, "checks": checks})

    found = compared(asked(labelings=2, same=1), asked(labelings=3, same=1, added="x"))
    assert found.settings == [
        "sufficiency.added: none in BASE, x in HEAD",
        "sufficiency.labelings: 2 in BASE, 3 in HEAD",
    ]


@pytest.mark.parametrize(("before", "after", "regressions"), [("<= 0.3", "<= 0.4", 1), ("<= 0.3", "<= 0.1", 0)])
def test_where_a_gate_changed_base_is_judged_by_that_of_head(before, after, regressions):
    def side(gate, losses):
        return result(check([*over_seeds([0.2, 0.2], "gap", gate), *over_seeds(losses)]))

    found = compared(side(before, [0.17, 0.15]), side(after, [0.16, 0.23]))
    assert set(moves(found).values()) == {"same", "within noise"}
    assert found.regressions == regressions


def test_a_loosened_gate_does_not_hide_a_metric_that_got_worse():
    base, head = check(over_seeds(OPEN, gate="<= 0.1")), check(over_seeds(BAD, gate="<= 0.505"))
    assert (base["verdict"], head["verdict"]) == ("FAIL", "INCONCLUSIVE")
    assert compared(result(base), result(head)).regressions == 1


def test_a_gated_metric_that_head_no_longer_measures_is_a_regression():
    shifts = [metric("gap", on=shift) for shift in ("one", "other")]
    found = compared(result(check(shifts)), result(check(shifts[:1])))
    assert [change.regressions for change in found.checks] == [["gap on other was measured in BASE only"]]
    assert not compared(result(check(shifts[:1])), result(check(shifts))).regressions


@pytest.mark.parametrize("seeds", [(0, 1), (0, 1, 2), (2, 3), (1, 2)])
def test_a_gated_metric_that_no_circuit_of_head_has_is_a_regression(seeds):
    base = check([*over_seeds(GOOD[:2]), *over_seeds(GOOD[:2], "gap")])
    assert compared(result(base), result(check([metric(seed=seed) for seed in seeds]))).regressions == 1


def test_an_interrupted_head_is_a_regression():
    sides = [result(check([metric()]), interrupted=stopped) for stopped in (False, True)]
    assert compared(*sides).regressions == 1
    assert compared(*sides[::-1]).regressions == 0
    assert compared(sides[1], sides[1]).is_empty


def test_two_tasks_are_told_apart():
    both = [check([metric()], task=task) for task in ("pronoun", "ioi")]
    head = [both[0], check(verdict="ERROR", task="ioi")]
    found = compared(result(*both), result(*head))
    assert [(change.task, bool(change.regressions)) for change in found.checks] == [("pronoun", False), ("ioi", True)]


def test_a_gated_metric_that_circuits_of_other_seeds_do_not_have_is_no_regression():
    base, head = check([metric("gap")]), check([metric("other", seed=1)])
    assert compared(result(base), result(head)).regressions == 0
