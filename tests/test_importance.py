"""Importance on a one-layer model: node i moves the logit difference by a known amount.

Only the two answers have any probability (unless a test says otherwise), so the log-odds are the logit difference.
"""

import math

import known_bad
import numpy as np
import pytest
import torch
from fake_models import (
    ONE,
    SIGN,
    WORDS,
    Readout,
    answers_only,
    bench_of,
    random_circuits,
    subject_of,
    write_task,
)
from fake_models import readout_subject as subject

from faithcheck import batches, importance
from faithcheck.importance import Importance


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("loss", ["full", "binary"])
def test_importance_is_the_fall_of_the_log_odds_when_the_node_is_ablated_from_the_circuit(tmp_path, loss):
    # A difference of 3 in all: 2 without node 0, 1 without node 1.
    found = subject(tmp_path, [1.0, 2.0], loss=loss).node_importance
    assert found.mean() == pytest.approx([1, 2])
    assert found.per_prompt.shape == (2, 140)
    assert not found.by_gradient


def test_under_the_full_loss_the_log_odds_are_against_all_other_tokens(tmp_path):
    # "when" has logit 0. At a difference of d: d / 2 - log(exp(-d / 2) + exp(0)).
    def log_odds(d):
        return d / 2 - math.log(math.exp(-d / 2) + 1)

    found = subject(tmp_path, [1.0, 2.0], base=answers_only(when=0.0)).node_importance
    # 1.5 - log 1.2231 = 1.2986; 1 - log 1.3679 = 0.6867; 0.5 - log 1.6065 = 0.0259.
    assert found.mean() == pytest.approx([log_odds(3) - log_odds(2), log_odds(3) - log_odds(1)])
    assert found.mean() == pytest.approx([1.2986 - 0.6867, 1.2986 - 0.0259], abs=2e-4)


def test_under_the_binary_loss_other_tokens_do_not_count(tmp_path):
    found = subject(tmp_path, [1.0, 2.0], base=answers_only(when=0.0), loss="binary").node_importance
    assert found.mean() == pytest.approx([1, 2])


def test_two_nodes_either_of_which_suffices_both_have_importance(tmp_path):
    # Differences of 12 each: without one of them the loss rises by softplus(-12) - softplus(-24) = 6e-6 only.
    about = subject(tmp_path, [12.0, 12.0])
    left = about.compiled.run(about.bench.prompts("test"), masks=about.compiled.without([[("0.mlp_neuron", 0)]]))
    assert float((about.losses(left) - about.losses(about.run())).max()) < 1e-5
    assert about.node_importance.mean() == pytest.approx([12, 12])


def test_nodes_outside_the_circuit_do_not_count(tmp_path):
    # Node 1 (difference 5) is not kept: node 0 alone answers, and without it nothing does.
    assert subject(tmp_path, [1.0, 5.0], kept=[0]).node_importance.mean() == pytest.approx([1])


def test_a_node_whose_ablation_helps_has_no_importance_but_its_raw_values_are_kept(tmp_path):
    # Differences 3 and -1: without node 1 the difference rises from 2 to 3.
    found = subject(tmp_path, [3.0, -1.0]).node_importance
    assert found.mean() == pytest.approx([3, 0])
    assert found.per_prompt[1] == pytest.approx(np.full(140, -1))


def test_the_negative_part_is_cut_before_the_mean_over_prompts_is_taken(tmp_path):
    # Node 1 moves she - he by 1 for women and 2 for men: it helps women by 1 and hurts men by 2. Mean -0.5, so 0; not
    # the mean of 1 and 0.
    found = subject(tmp_path, [4.0, 1.0], [SIGN, 1.5 * SIGN.abs() - SIGN / 2]).node_importance
    assert found.mean()[1] == pytest.approx(0.5)
    women, men = np.zeros((2, 1, 140))
    women[0, :70] = men[0, 70:] = 1 / 70
    assert found.per_prompt[1].tolist() == pytest.approx([1] * 70 + [-2] * 70)
    assert found.under(women)[0].tolist() == pytest.approx([4, 1])
    assert found.under(men)[0].tolist() == pytest.approx([4, 0])


def test_women_come_first_in_the_test_prompts(tmp_path):
    prompts = subject(tmp_path, [1.0]).bench.prompts("test")
    assert prompts.classes.tolist() == [0] * 70 + [1] * 70


def test_a_group_is_left_out_as_a_whole(tmp_path):
    both = [[("0.mlp_neuron", 0), ("0.mlp_neuron", 2)], [("0.mlp_neuron", 1)]]
    assert subject(tmp_path, [1.0, 2.0, 3.0]).importance(both).mean() == pytest.approx([4, 2])


def test_a_group_that_takes_baselines_falls_by_what_they_change(tmp_path):
    # Node 0 at half the sign: 1 in place of 2. Nodes 0 and 1 at minus the sign: -5 in place of 5. Node 2 as it is: 0.
    about = subject(tmp_path, [2.0, 3.0, 4.0])
    prompts = about.bench.prompts("test").tokens
    sign = SIGN[prompts[:, :1]].expand(prompts.shape)
    groups = [[("0.mlp_neuron", 0)], [("0.mlp_neuron", 0), ("0.mlp_neuron", 1)], [("0.mlp_neuron", 2)], []]
    rows = [(0.5, 0, 0), (-1, -1, 0), (0, 0, 1), (0, 0, 0)]
    taken = torch.stack([torch.stack([part * sign for part in row], -1) for row in rows])
    found = importance.group_importance(about, groups, {"0.mlp_neuron": taken})
    assert found.mean() == pytest.approx([1, 10, 0, 0])


def test_the_gradient_towards_baselines_is_what_they_change(tmp_path, monkeypatch):
    # d log-odds / d mask is (node - baseline) x amplitude: (1 + 1) x 2 and (1 - 0.5) x 3.
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", 0)
    about = subject(tmp_path, [2.0, 3.0])
    prompts = about.bench.prompts("test").tokens
    sign = SIGN[prompts[:, :1]].expand(prompts.shape)
    groups = [[("0.mlp_neuron", 0)], [("0.mlp_neuron", 1)]]
    taken = {"0.mlp_neuron": torch.stack([-sign, sign / 2], -1)[None]}
    assert importance.group_importance(about, groups, taken).mean() == pytest.approx([4, 1.5])


def test_the_log_odds_are_of_the_tasks_loss_unless_another_is_named(tmp_path):
    # "when" has logit 0, so that under the full loss less than 1 is lost.
    full = subject(tmp_path, [1.0, 2.0], base=answers_only(when=0.0))
    groups = [[("0.mlp_neuron", 0)]]
    assert importance.group_falls(full, groups, None, ["binary"])["binary"].mean() == pytest.approx([1])
    assert importance.group_importance(full, groups).mean() == pytest.approx([1.2986 - 0.6867], abs=2e-4)
    binary = subject(tmp_path, [1.0, 2.0], base=answers_only(when=0.0), loss="binary")
    assert importance.group_importance(binary, groups).mean() == pytest.approx([1])
    assert importance.group_falls(binary, groups, None, ["full"])["full"].mean() == pytest.approx(
        [1.2986 - 0.6867], abs=2e-4
    )


def test_importance_under_drawn_weights_is_that_of_the_drawn_prompts():
    # Two prompts with falls of 1 and -3 for one group, 2 and 4 for the other.
    found = Importance(np.array([[1.0, -3.0], [2.0, 4.0]]), by_gradient=False)
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [0.75, 0.25]])
    assert found.under(weights) == pytest.approx(np.array([[1, 2], [0, 4], [0.75, 2.5]]))
    assert found.mean() == pytest.approx([0.5, 3])


def test_gradients_below_zero_count_for_nothing_on_their_prompt():
    found = Importance(np.array([[1.0, -3.0]]), by_gradient=True)
    weights = np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]])
    assert found.under(weights) == pytest.approx(np.array([[1], [0.75], [0.5]]))


def test_above_the_limit_the_gradient_stands_in(tmp_path, monkeypatch):
    # d log-odds / d mask is the node's own difference.
    found = subject(tmp_path, [1.0, -2.0])
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", 1)
    stand_in = found.importance([[("0.mlp_neuron", 0)], [("0.mlp_neuron", 1)]])
    assert stand_in.by_gradient
    assert stand_in.per_prompt[:, 0] == pytest.approx([1, -2])
    assert stand_in.mean() == pytest.approx([1, 0])


def test_the_gradient_of_the_full_log_odds_takes_in_the_other_tokens(tmp_path, monkeypatch):
    # "when" has logit 0. d / 2 - log(exp(-d / 2) + 1) rises with d by (1 + sigmoid(-d / 2)) / 2; here d is 3.
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", 0)
    found = subject(tmp_path, [1.0, 2.0], base=answers_only(when=0.0)).node_importance
    slope = (1 + sigmoid(-1.5)) / 2
    assert found.mean() == pytest.approx([slope, 2 * slope])


def test_at_the_limit_every_group_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", 2)
    assert not subject(tmp_path, [1.0, 2.0]).node_importance.by_gradient


def test_the_gradient_of_a_group_is_the_sum_over_its_nodes_of_the_circuit(tmp_path, monkeypatch):
    # Node 0 is not kept, so that a node's place among the kept ones is not its number.
    found = subject(tmp_path, [7.0, 2.0, 3.0], kept=[1, 2])
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", 0)
    groups = [[("0.mlp_neuron", 1), ("0.mlp_neuron", 2)], [("0.mlp_neuron", 2)]]
    assert found.importance(groups).mean() == pytest.approx([5, 3])


def test_many_groups_are_left_out_in_batches_with_the_same_result(tmp_path, monkeypatch):
    found = subject(tmp_path, [1.0, 2.0, 0.5])
    at_once = found.importance([[node] for node in found.compiled.nodes]).per_prompt
    monkeypatch.setattr(batches, "_FLOATS", 1)
    assert found.importance([[node] for node in found.compiled.nodes]).per_prompt == pytest.approx(at_once)


@pytest.mark.parametrize("norms", ["live", "frozen"])
@pytest.mark.parametrize("limit", [0, 512])
def test_live_norms_do_not_hide_importance(tmp_path, monkeypatch, norms, limit):
    """The circuit's two nodes write (3, -3) and (1, -1), the rest of the model 10 elsewhere, all behind one norm.

    Under the model's scale sqrt((2 x 4^2 + 10^2) / vocabulary) each has the difference of what it writes. Live, the
    norm would scale whatever is left to the same size, so that neither would be missed.
    """
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", limit)
    writes = [{"she": 3.0, "he": -3.0}, {"she": 1.0, "he": -1.0}, {"pad": 10.0}]
    model = Readout([(SIGN, ONE)] * 2 + [(ONE, ONE)], writes, gain=0.5)
    about = subject_of(bench_of(model, write_task(tmp_path), loss="binary"), norms=norms, mlp_neuron=[0, 1])
    scale = math.sqrt((2 * 4**2 + 10**2) / len(WORDS))
    assert about.node_importance.mean() == pytest.approx([0.5 * 6 / scale, 0.5 * 2 / scale])
    prompts, without = about.bench.prompts("test"), about.compiled.without([[node] for node in about.compiled.nodes])
    live = [about.compiled.run(prompts, masks=masks).logits for masks in ({}, without)]
    assert torch.allclose(live[0].expand_as(live[1]), live[1])


def test_log_odds_that_are_not_finite_are_refused_by_the_node_without_which_they_are_so(tmp_path):
    # The logit of she is the logarithm of neuron 0.
    about = subject_of(bench_of(known_bad.logarithm(), write_task(tmp_path)), mlp_neuron=[0, 1])
    with pytest.raises(ValueError, match=r"the answer's log-odds without 0\.mlp_neuron 0 are not finite"):
        about.node_importance  # noqa: B018


def test_log_odds_that_are_not_finite_with_another_activation_are_refused_by_its_node(tmp_path):
    # Neuron 1 takes another number, neuron 0 one that has no logarithm.
    about = subject_of(bench_of(known_bad.logarithm(), write_task(tmp_path)), mlp_neuron=[0, 1])
    taken = {"0.mlp_neuron": torch.tensor([-1.0, 0.5], dtype=torch.float64)}
    groups = [[("0.mlp_neuron", 1)], [("0.mlp_neuron", 0)]]
    with pytest.raises(ValueError, match=r"the answer's log-odds with another activation of 0\.mlp_neuron 0 are not"):
        importance.group_importance(about, groups, taken)


def test_of_a_large_group_without_which_log_odds_are_not_finite_three_are_named(tmp_path):
    about = subject_of(bench_of(known_bad.logarithm(), write_task(tmp_path)), mlp_neuron=[0, 1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"without 0\.mlp_neuron 0, .* 1, .* 2 and 2 more are not finite"):
        about.importance([list(about.compiled.nodes)])


@pytest.mark.parametrize("limit", [0, 512])
@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_a_restricted_and_a_masked_circuit_give_the_same_importance(tmp_path, monkeypatch, norms, limit):
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", limit)
    restricted, masked = random_circuits(write_task(tmp_path), norms)
    assert np.abs(restricted.node_importance.per_prompt).max() > 0.01
    assert restricted.node_importance.per_prompt == pytest.approx(masked.node_importance.per_prompt, abs=1e-5)


def test_where_gradients_stand_in_a_node_that_reaches_nothing_has_no_importance(tmp_path, monkeypatch):
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", 0)
    home = bench_of(known_bad.Root(least=0.04), write_task(tmp_path))
    subject = subject_of(home, mlp_out=[0], attn_out=[0], l1_mlp_out=[0])
    found = dict(zip(subject.compiled.nodes, subject.node_importance.mean().tolist(), strict=True))
    assert found[("0.attn_out", 0)] == 0
    assert found[("0.mlp_out", 0)] > 0
