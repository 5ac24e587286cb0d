"""Importance on a one-layer model: node i moves the logit difference by a known amount, so that losses are softplus."""

import math

import numpy as np
import pytest
from fake_models import (
    ONE,
    SIGN,
    Readout,
    answers_only,
    bench_of,
    pronoun,
    random_circuits,
    subject_of,
    table,
    write_task,
)

from faithcheck import importance
from faithcheck.importance import Importance


def softplus(x):
    return math.log1p(math.exp(x))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def subject(tmp_path, amplitudes, firsts=None, kept=None):
    nodes = [(first, ONE) for first in (firsts or [SIGN] * len(amplitudes))]
    model = Readout(nodes, [pronoun(a) for a in amplitudes], answers_only())
    return subject_of(bench_of(model, write_task(tmp_path)), mlp_neuron=kept or list(range(len(amplitudes))))


def test_importance_is_the_rise_of_the_loss_when_the_node_is_ablated_from_the_circuit(tmp_path):
    # Differences 1 and 2: without node 0 softplus(-2) - softplus(-3), without node 1 softplus(-1) - softplus(-3).
    found = subject(tmp_path, [1.0, 2.0]).node_importance
    assert found.mean() == pytest.approx([softplus(-2) - softplus(-3), softplus(-1) - softplus(-3)])
    assert found.per_prompt.shape == (2, 140)
    assert not found.by_gradient


def test_nodes_outside_the_circuit_do_not_count(tmp_path):
    # Node 1 (difference 5) is not kept: node 0 alone answers.
    found = subject(tmp_path, [1.0, 5.0], kept=[0]).node_importance
    assert found.mean() == pytest.approx([math.log(2) - softplus(-1)])


def test_a_node_whose_ablation_helps_has_no_importance_but_its_raw_values_are_kept(tmp_path):
    # Differences 3 and -1: without node 1 the loss falls from softplus(-2) to softplus(-3).
    found = subject(tmp_path, [3.0, -1.0]).node_importance
    assert found.mean() == pytest.approx([softplus(1) - softplus(-2), 0.0])
    assert found.per_prompt[1] == pytest.approx(np.full(140, softplus(-3) - softplus(-2)))


def test_the_mean_over_prompts_is_taken_before_the_negative_part_is_cut(tmp_path):
    # Node 1 helps women (+1) and hurts men (-1), beside node 0 of 2: rises softplus(-2) - softplus(-3) = 0.0783 and
    # softplus(-2) - softplus(-1) = -0.1863: mean -0.054, so 0; not the mean of (0.0783, 0).
    found = subject(tmp_path, [2.0, 1.0], [SIGN, table({}, 1.0) * SIGN.abs()]).node_importance
    assert found.mean()[1] == 0.0
    # Under weights on women only it is 0.0783.
    women = np.zeros((1, 140))
    women[0, :70] = 1 / 70
    assert found.under(women)[0, 1] == pytest.approx(softplus(-2) - softplus(-3))


def test_a_group_is_left_out_as_a_whole(tmp_path):
    both = [[("0.mlp_neuron", 0), ("0.mlp_neuron", 2)], [("0.mlp_neuron", 1)]]
    found = subject(tmp_path, [1.0, 2.0, 3.0]).importance(both)
    assert found.mean() == pytest.approx([softplus(-2) - softplus(-6), softplus(-4) - softplus(-6)])


def test_importance_under_drawn_weights_is_that_of_the_drawn_prompts():
    # Two prompts with rises 1 and -3 of one group, 2 and 4 of the other.
    found = Importance(np.array([[1.0, -3.0], [2.0, 4.0]]), by_gradient=False)
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [0.75, 0.25]])
    assert found.under(weights) == pytest.approx(np.array([[1, 2], [0, 4], [0, 2.5]]))
    assert found.mean() == pytest.approx([0, 3])


def test_gradients_are_averaged_with_their_sign_and_then_made_positive():
    found = Importance(np.array([[1.0, -3.0]]), by_gradient=True)
    assert found.under(np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]])) == pytest.approx(np.array([[1], [0], [1]]))


def test_above_the_limit_the_gradient_stands_in(tmp_path, monkeypatch):
    # d softplus(-d) / d mask = -sigmoid(-d) x the node's own difference; d = 3.
    found = subject(tmp_path, [1.0, 2.0])
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", 1)
    stand_in = found.importance([[("0.mlp_neuron", 0)], [("0.mlp_neuron", 1)]])
    assert stand_in.by_gradient
    assert stand_in.per_prompt[:, 0] == pytest.approx([-sigmoid(-3), -2 * sigmoid(-3)])
    assert stand_in.mean() == pytest.approx([sigmoid(-3), 2 * sigmoid(-3)])


def test_at_the_limit_every_group_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", 2)
    assert not subject(tmp_path, [1.0, 2.0]).node_importance.by_gradient


def test_the_gradient_of_a_group_is_the_sum_over_its_nodes_of_the_circuit(tmp_path, monkeypatch):
    # Node 0 is not kept, so that a node's place among the kept ones is not its number: d = 2 + 3.
    found = subject(tmp_path, [7.0, 2.0, 3.0], kept=[1, 2])
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", 0)
    groups = [[("0.mlp_neuron", 1), ("0.mlp_neuron", 2)], [("0.mlp_neuron", 2)]]
    assert found.importance(groups).mean() == pytest.approx([5 * sigmoid(-5), 3 * sigmoid(-5)])


def test_many_groups_are_left_out_in_batches_with_the_same_result(tmp_path, monkeypatch):
    found = subject(tmp_path, [1.0, 2.0, 0.5])
    at_once = found.importance([[node] for node in found.compiled.nodes]).per_prompt
    monkeypatch.setattr(importance, "_FLOATS", 1)
    assert found.importance([[node] for node in found.compiled.nodes]).per_prompt == pytest.approx(at_once)


def test_a_circuit_of_frozen_norms_is_left_out_of_under_frozen_norms(tmp_path):
    # Nodes of amplitude 3 and 1 behind a norm. Frozen, the difference is c (3 + 1), and c x 1 without node 0; live,
    # the norm restores what is left to the same size, so that leaving out node 0 changes nothing.
    model = Readout([(SIGN, ONE)] * 2, [{"she": a, "he": -a} for a in (3.0, 1.0)], gain=0.5)
    home = bench_of(model, write_task(tmp_path), loss="binary")
    size = len(model.write[0])
    whole = 2 * 0.5 * 4 / math.sqrt(2 * 16 / size)
    frozen = subject_of(home, norms="frozen", mlp_neuron=[0, 1]).node_importance.mean()
    live = subject_of(home, mlp_neuron=[0, 1]).node_importance.mean()
    assert frozen == pytest.approx(
        [softplus(-whole / 4) - softplus(-whole), softplus(-whole * 3 / 4) - softplus(-whole)]
    )
    assert live == pytest.approx([0, 0], abs=1e-12)


def test_women_come_first_in_the_test_prompts(tmp_path):
    prompts = subject(tmp_path, [1.0]).bench.prompts("test")
    assert prompts.classes.tolist() == [0] * 70 + [1] * 70


@pytest.mark.parametrize("limit", [0, 512])
@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_a_restricted_and_a_masked_circuit_give_the_same_importance(tmp_path, monkeypatch, norms, limit):
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", limit)
    restricted, masked = random_circuits(write_task(tmp_path), norms)
    assert np.abs(restricted.node_importance.per_prompt).max() > 0.01
    assert restricted.node_importance.per_prompt == pytest.approx(masked.node_importance.per_prompt, abs=1e-5)
