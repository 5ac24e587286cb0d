"""The table of examples/leaderboard, from results written by hand."""

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "examples" / "leaderboard" / "leaderboard.py"
table = runpy.run_path(str(SCRIPT))["table"]


def result(verdict, sizes, loss=0.1):
    return {
        "circuits": [{"task": "ioi", "size": size, "loss": loss, "reached": loss < 0.15} for size in sizes],
        "checks": [{"check": "layernorm", "task": "ioi", "verdict": verdict}],
        "timing": {"total_seconds": 61.4},
    }


def test_a_row_has_the_medians_over_seeds_and_a_verdict_for_each_check():
    found = list(table({"mine": result("FAIL", [10, 40, 20]), "theirs": result("PASS", [5], loss=0.2)}))
    assert found[0] == "| method | task | nodes | loss | reached | layernorm | seconds |"
    assert found[2:] == [
        "| mine | ioi | 20 | 0.100 | 3/3 | FAIL | 61 |",
        "| theirs | ioi | 5 | 0.200 | 0/1 | PASS | 61 |",
    ]


def test_a_method_that_cannot_be_run_has_its_reason_and_one_that_failed_no_size():
    found = list(table({"mine": result("ERROR", []), "theirs": "it cannot be used"}))
    assert found[2] == "| mine | ioi |  |  |  | ERROR | 61 |"
    assert found[3].startswith("| theirs | it cannot be used |")
