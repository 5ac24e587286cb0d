"""The table of examples/leaderboard, from results written by hand."""

import runpy
from pathlib import Path

import pytest

from faithcheck.version import __version__

SCRIPT = Path(__file__).parent.parent / "examples" / "leaderboard" / "leaderboard.py"
script = runpy.run_path(str(SCRIPT))
table, is_of = script["table"], script["is_of"]


def result(verdict, sizes, loss=0.1):
    return {
        "circuits": [{"task": "ioi", "size": size, "loss": loss, "reached": loss < 0.15} for size in sizes],
        "checks": [{"check": "layernorm", "task": "ioi", "verdict": verdict}],
    }


def test_a_row_has_the_medians_over_seeds_and_a_verdict_for_each_check():
    found = list(table({"mine": result("FAIL", [10, 40, 20]), "theirs": result("PASS", [5], loss=0.2)}))
    assert found[0] == "| method | task | nodes | loss | reached | layernorm |"
    assert found[2:] == [
        "| mine | ioi | 20 | 0.100 | 3/3 | FAIL |",
        "| theirs | ioi | 5 | 0.200 | 0/1 | PASS |",
    ]


def test_a_method_that_cannot_be_run_has_its_reason_and_one_that_failed_no_size():
    found = list(table({"mine": result("ERROR", []), "theirs": "it cannot be used"}))
    assert found[2] == "| mine | ioi |  |  |  | ERROR |"
    assert found[3].startswith("| theirs | it cannot be used |")


def test_a_loss_that_is_no_number_counts_as_infinite():
    """JSON has no Infinity: result.json has null."""
    losses = result("FAIL", [1, 2, 3])
    for circuit in losses["circuits"][1:]:
        circuit["loss"] = None
    assert list(table({"mine": losses}))[2] == "| mine | ioi | 2 | inf | 3/3 | FAIL |"


WHOLE = {
    "suite": {"name": "quick", "seeds": 2},
    "interrupted": False,
    "environment": {"faithcheck": __version__},
}
OTHERS = {
    "another suite": {"suite": {"name": "default", "seeds": 2}},
    "other seeds": {"suite": {"name": "quick", "seeds": 3}},
    "interrupted": {"interrupted": True},
    "another version": {"environment": {"faithcheck": "0.0.1"}},
}


def test_a_finished_result_of_what_was_asked_is_not_made_again():
    assert is_of(WHOLE, "quick", 2)


@pytest.mark.parametrize("other", OTHERS)
def test_a_result_of_something_else_is_made_again(other):
    assert not is_of({**WHOLE, **OTHERS[other]}, "quick", 2)
