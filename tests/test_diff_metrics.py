"""Metrics of two results made by hand: what they are held against, and what becomes of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from diffing import check, compared, metric, moves, over_seeds, result, run, write

from faithcheck.diff.comparison import compare_runs
from faithcheck.report.reading import load_result

LOW, HIGH = [0.50, 0.52, 0.51, 0.49, 0.53, 0.50], [0.80, 0.83, 0.79, 0.81, 0.82, 0.80]


def of(*metrics, **more):
    return result(check(metrics), **more)


def shift_of(found):
    (moved,) = found.gated
    return moved.shift


def test_values_of_the_same_seeds_are_paired():
    found = compared(of(*over_seeds(LOW)), of(*over_seeds([x + 0.1 + i / 1000 for i, x in enumerate(LOW)])))
    assert moves(found) == {"loss": "worse"}
    # the differences are 0.100 to 0.105, whose standard error is 0.00076; unpaired it would be 0.0088
    assert shift_of(found).high - shift_of(found).low == pytest.approx(2 * 2.5706 * 0.0018708 / 6**0.5, rel=1e-3)


def test_values_of_other_seeds_are_held_against_the_spread_of_both_runs():
    base = of(*over_seeds(LOW))
    assert moves(compared(base, of(*over_seeds(HIGH, first=6)))) == {"loss": "worse"}
    assert moves(compared(base, of(*over_seeds([x + 0.005 for x in LOW], first=6)))) == {"loss": "within noise"}


@pytest.mark.parametrize(
    ("gate", "up", "down"),
    [
        ("<= 0.2", "worse", "better"),
        ("< 0.2", "worse", "better"),
        (">= 0.2", "better", "worse"),
        ("> 0.2", "better", "worse"),
        ("== 0", "worse", "better"),
        ("== 1", "better", "worse"),
    ],
)
def test_the_gate_says_which_way_is_worse(gate, up, down):
    low, high = ([metric(seed=i, value=x) | {"gate": gate} for i, x in enumerate(xs)] for xs in (LOW, HIGH))
    assert moves(compared(of(*low), of(*high))) == {"loss": up}
    assert moves(compared(of(*high), of(*low))) == {"loss": down}


def test_a_metric_without_a_gate_only_moves():
    found = compared(of(*over_seeds(LOW, gate=None)), of(*over_seeds(HIGH, gate=None)))
    assert [moved.move.value for moved in found.reported] == ["moved"]
    assert found.regressions == 0


def test_one_circuit_each_of_other_seeds_tells_nothing():
    found = compared(of(metric(seed=0, value=0.1)), of(metric(seed=1, value=3.0)))
    assert moves(found) == {"loss": "noise unknown"}
    assert found.regressions == 0


def test_the_same_values_are_no_change_whatever_the_noise():
    found = compared(of(metric(seed=0, value=0.1)), of(metric(seed=1, value=0.1)))
    assert moves(found) == {"loss": "same"}
    assert found.is_empty


def test_of_an_unbounded_interval_the_noise_is_unknown():
    unbounded = metric(seed=0) | {"low": None, "high": None, "verdict": "INCONCLUSIVE"}
    assert moves(compared(of(unbounded), of(metric(seed=0, value=5.0)))) == {"loss": "noise unknown"}


def test_rounding_is_no_change():
    assert moves(compared(of(metric(value=0.3)), of(metric(value=0.3000001)))) == {"loss": "same"}


def test_less_than_a_thousandth_is_within_noise_however_sure():
    moved = [moves(compared(of(*over_seeds(LOW)), of(*over_seeds([x * by + i * 1e-5 for i, x in enumerate(LOW)]))))
             for by in (1.0005, 1.002)]  # fmt: skip
    assert moved == [{"loss": "within noise"}, {"loss": "worse"}]


def test_sizes_are_compared_by_factors():
    sizes = [[100, 200, 400], [200, 400, 800.1]]
    base, head = (of(*[metric("task_size", i, n, 0, None) for i, n in enumerate(side)]) for side in sizes)
    (moved,) = compared(base, head).reported
    assert np.exp(moved.shift.value) == pytest.approx(2, rel=1e-3)


def test_never_reached_values_are_ranked_and_no_number_is_made_of_them():
    reached, missed = [100.0] * 6, [None] * 6
    base, head = (of(*[metric("frozen_size", i, n, 0, None) for i, n in enumerate(side)]) for side in (reached, missed))
    (moved,) = compared(base, head).reported
    assert moved.move.value == "moved"
    assert moved.shift.value is None
    assert moved.shift.p == pytest.approx(2 / 924)


def trial(ratio, real, contrast, gate=">= 10"):
    """nonsense_control of seeds from 0 on: the ratio over all, and the sizes of each."""
    whole = {"name": "size_ratio", "seed": None, "n": len(real), "gate": gate, "verdict": "PASS"} | ratio
    sizes = [metric(name, i, size, 0, None, n=1) for name, side in (("task_size", real), ("nonsense_size", contrast))
             for i, size in enumerate(side)]  # fmt: skip
    return result(check([whole, *sizes], name="nonsense_control"), seeds=range(len(real)))


def test_the_ratio_over_seeds_is_compared_by_the_sizes_of_each_seed():
    base = trial({"estimate": 20.0, "low": 15.0, "high": 27.0}, [100] * 6, [2000, 1900, 2100, 2000, 2050, 1950])
    head = trial({"estimate": 2.0, "low": 1.5, "high": 2.7}, [100] * 6, [200, 195, 210, 200, 208, 190])
    found = compared(base, head)
    assert moves(found) == {"size_ratio": "worse"}
    assert np.exp(shift_of(found).value) == pytest.approx(0.1, rel=0.01)
    assert shift_of(found).low is not None


def test_a_control_that_comes_within_reach_is_worse_by_rank():
    out_of_reach = trial({"estimate": None, "reached": False, "low": None, "high": None}, [100] * 6, [None] * 6)
    within = trial({"estimate": 2.0, "low": 1.5, "high": 2.7}, [100] * 6, [200, 195, 210, 200, 208, 190])
    found = compared(out_of_reach, within)
    assert moves(found) == {"size_ratio": "worse"}
    assert shift_of(found).p == pytest.approx(2 / 924)
    assert moves(compared(within, out_of_reach)) == {"size_ratio": "better"}


def test_a_ratio_that_leaves_out_seeds_is_compared_by_its_interval():
    numbers = {"estimate": 20.0, "low": 10.0, "high": 40.0, "n": 4}
    base = trial(numbers, [100] * 6, [2000] * 4 + [None] * 2)
    found = compared(
        base, trial(numbers | {"estimate": 16.0, "low": 8.0, "high": 32.0}, [100] * 6, [1600] * 4 + [None] * 2)
    )
    assert shift_of(found).high == pytest.approx(np.log(0.8) + np.log(2) * 2**0.5)
    assert moves(found) == {"size_ratio": "within noise"}


def test_one_number_over_all_seeds_without_an_interval_tells_no_noise():
    share = {"name": "generalizing_seeds", "seed": None, "on": "unseen", "n": 6}
    sides = [check([metric(), share | {"estimate": x, "low": x, "high": x}]) for x in (0.5, 0.0)]
    (moved,) = compared(*map(result, sides)).reported
    assert moved.move.value == "noise unknown"


def two_folders(tmp_path, shared=0.2, own=0.002, head_draws=None, prompts=("a", "a")):
    """One circuit in each run, loss 0.50 and 0.55 +- 0.2, with draws that are nearly the same on both sides."""
    rng = np.random.default_rng(1)
    common = shared * rng.normal(size=1030)
    folders = []
    for i, (side, value) in enumerate((("base", 0.50), ("head", 0.55))):
        rows = value + common + own * rng.normal(size=1030)
        rows = rows if head_draws is None or i == 0 else head_draws
        data = of(metric(value=value, spread=0.2), prompts=prompts[i])
        folders.append(write(tmp_path / side, data, {"sufficiency": {"0/draws/loss": rows}}))
    return folders


def compare_folders(folders):
    return compare_runs(*(run(loaded.data, loaded.folder) for loaded in map(load_result, folders)))


def test_draws_of_the_same_prompts_see_what_the_intervals_do_not(tmp_path):
    found = compare_folders(two_folders(tmp_path))
    assert moves(found) == {"loss": "worse"}
    assert shift_of(found).high - shift_of(found).low < 0.02


def test_without_evidence_the_intervals_are_combined_and_it_is_said(tmp_path):
    base, head = two_folders(tmp_path)
    (head / "evidence" / "pronoun-sufficiency.safetensors").unlink()
    found = compare_folders([base, head])
    assert moves(found) == {"loss": "within noise"}
    assert shift_of(found).high == pytest.approx(0.05 + 0.2 * 2**0.5)
    assert found.gated[0].independently
    assert list(found.head.lost) == ["the evidence file evidence/pronoun-sufficiency.safetensors is not there"]


@pytest.mark.parametrize("rows", [np.zeros(1040), np.full(1030, np.inf), np.zeros((1030, 2)), np.zeros(5)])
def test_draws_that_do_not_pair_are_not_used(tmp_path, rows):
    found = compare_folders(two_folders(tmp_path, head_draws=rows))
    assert shift_of(found).high == pytest.approx(0.05 + 0.2 * 2**0.5)


def test_draws_of_other_prompts_are_not_paired(tmp_path):
    found = compare_folders(two_folders(tmp_path, prompts=("a", "b")))
    assert shift_of(found).high == pytest.approx(0.05 + 0.2 * 2**0.5)
    assert "the task pronoun has other prompts: compared unpaired" in found.settings


def test_seeds_on_other_prompts_have_the_noise_of_prompts_too():
    head = [x + 0.1 for x in LOW]
    same = compared(of(*over_seeds(LOW)), of(*over_seeds(head, first=6)))
    other = compared(of(*over_seeds(LOW)), of(*over_seeds(head, first=6), prompts="b"))
    reach = [shift_of(found).value - shift_of(found).low for found in (same, other)]
    assert reach[1] == pytest.approx(np.hypot(reach[0], 0.02 * 2**0.5))


def test_seeds_on_another_number_of_prompts_are_on_other_prompts():
    head = [x + 0.1 for x in LOW]
    same, other = (compared(of(*over_seeds(LOW)), of(*over_seeds(head, first=6, n=n))) for n in (512, 500))
    assert (same.gated[0].independently, other.gated[0].independently) == (False, True)
    assert shift_of(other).low < shift_of(same).low


def test_a_single_small_p_value_among_many_metrics_is_within_noise():
    base, head = [0.5, 0.5, 0.5], [0.57, 0.60, 0.63]  # t = 5.8 with 2 degrees of freedom: p = 0.029
    alone = compared(of(*over_seeds(base)), of(*over_seeds(head)))
    assert moves(alone) == {"loss": "worse"}
    sides = ([0.1, 0.2, 0.3], [0.2, 0.1, 0.3])
    others = [[entry for i in range(3) for entry in over_seeds(side, name=f"other{i}")] for side in sides]
    among = compared(of(*over_seeds(base), *others[0]), of(*over_seeds(head), *others[1]))
    assert moves(among)["loss"] == "within noise"
    alike = compared(of(*over_seeds(base), *others[0]), of(*over_seeds(head), *others[0]))
    assert moves(alike)["loss"] == "worse"  # nothing else was tested


def test_counts_of_six_seeds_are_not_drowned_by_thirty_other_metrics():
    def side(first, heads, reached):
        rng = np.random.default_rng(first)
        many = [entry for i in range(30) for entry in over_seeds(rng.normal(1, 0.1, 6), f"other{i}", first=first)]
        some = over_seeds([heads] * 6, "absent_heads", "<= 0", 0, first=first)
        return of(*many, *some, *over_seeds([reached] * 6, "size", ">= 10", 0, first=first))

    for first in (0, 6):
        found = moves(compared(side(0, 0, None), side(first, 1, 2.0)))
        assert (found["absent_heads"], found["size"]) == ("worse", "worse")


def test_where_most_values_are_infinite_the_ranks_say_which_way_it_went():
    # the upper middle value is infinite on both sides
    base, head = [1.0, 2.0, 3.0, 4.0, None, None, None, None, None], [None] * 9
    sides = [of(*[metric("loss", i, x) for i, x in enumerate(side)]) for side in (base * 2, head * 2)]
    assert moves(compared(*sides)) == {"loss": "worse"}
    assert moves(compared(*sides[::-1])) == {"loss": "better"}


def test_draws_over_another_number_of_prompts_are_not_paired(tmp_path):
    base, head = two_folders(tmp_path)
    data = json.loads((head / "result.json").read_text())
    data["checks"][0]["metrics"][0]["n"] = 500
    (head / "result.json").write_text(json.dumps(data))
    assert shift_of(compare_folders([base, head])).high == pytest.approx(0.05 + 0.2 * 2**0.5)


def test_the_same_values_of_other_seeds_are_no_change_in_any_order():
    assert moves(compared(of(*over_seeds([0.1, 0.3])), of(*over_seeds([0.3, 0.1], first=2)))) == {"loss": "same"}
    assert moves(compared(of(*over_seeds([0.1, 0.3])), of(*over_seeds([0.3, 0.1])))) == {"loss": "within noise"}
