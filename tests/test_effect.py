"""Shares of a circuit's effect, worked out by hand on a one-layer model: neuron i moves she - he by amplitude i.

Only the two answers have any probability (unless a test says otherwise), so that both kinds of log-odds are the logit
difference.
"""

import math

import numpy as np
import pytest
import torch
from fake_models import (
    ONE,
    SIGN,
    Attention,
    Readout,
    answers_only,
    bench_of,
    pronoun,
    random_circuits,
    subject_of,
    table,
    write_task,
)
from fake_models import readout_subject as subject

from faithcheck import importance
from faithcheck.effect import lost, model_activations, share

BOTH_ANSWERS = {"she": 5.0, "he": 5.0}


def neurons(*numbers):
    return [("0.mlp_neuron", number) for number in numbers]


def shares(found, prompts=140):
    """Over all prompts alike, float[group]."""
    return found.under(np.full((1, prompts), 1 / prompts))[0].tolist()


def flipping():
    """Neuron 0 is the sign, neuron 1 is b - 2 c, both the sign: the sign without input c, and minus it in the model."""
    mix = [[1, 0, 0], [0, 1, -2]]
    return Readout([(SIGN, ONE)] * 3, [pronoun(2.0), pronoun(6.0)], answers_only(), mix=mix)


KEPT = {"mlp_in": [0, 1], "mlp_neuron": [0, 1]}


class TestShares:
    def test_of_a_group_it_is_its_fall_over_that_of_the_whole_circuit(self, tmp_path):
        # Differences of 1 + 3; without the circuit 0.
        found = lost(subject(tmp_path, [1.0, 3.0]), [neurons(0), neurons(1), neurons(0, 1)])
        assert shares(found) == pytest.approx([0.25, 0.75, 1])

    def test_a_group_of_no_nodes_loses_nothing(self, tmp_path):
        assert shares(lost(subject(tmp_path, [1.0, 3.0]), [[]])) == [0]
        assert shares(lost(subject(tmp_path, [1.0, 3.0]), [[], neurons(0)])) == pytest.approx([0, 0.25])

    def test_nodes_outside_the_circuit_do_not_count(self, tmp_path):
        # Neuron 1 is not kept: neurons 0 and 2 have 1 + 2.
        assert shares(lost(subject(tmp_path, [1.0, 5.0, 2.0], kept=[0, 2]), [neurons(2)])) == pytest.approx([2 / 3])

    def test_it_is_above_one_where_the_answer_turns(self, tmp_path):
        # Without neuron 0 the difference is -3 in place of 2: 5 of 2 are lost.
        assert shares(lost(subject(tmp_path, [5.0, -3.0]), [neurons(0)])) == pytest.approx([2.5])

    def test_a_group_that_helps_when_it_is_gone_loses_nothing(self, tmp_path):
        assert shares(lost(subject(tmp_path, [5.0, -3.0]), [neurons(1)])) == [0]

    def test_falls_are_cut_at_0_on_each_prompt(self, tmp_path):
        # Neuron 1 is 1 for all: it moves she - he by 2, which helps the women by 2 and hurts the men as much. Whole: 4
        # + 2 and 4 - 2, 4 on average; neuron 1: 2 and -2, cut to 2 and 0, 1 on average.
        found = lost(subject(tmp_path, [4.0, 2.0], [SIGN, ONE]), [neurons(0), neurons(1)])
        assert shares(found) == pytest.approx([1, 0.25])

    def test_under_drawn_weights_both_falls_are_of_the_drawn_prompts(self, tmp_path):
        # Women come first. As above: of 6 for women and of 2 for men.
        found = lost(subject(tmp_path, [4.0, 2.0], [SIGN, ONE]), [neurons(0), neurons(1)])
        women, men = np.zeros((2, 1, 140))
        women[0, :70] = men[0, 70:] = 1 / 70
        assert found.under(np.concatenate([women, men])) == pytest.approx(np.array([[4 / 6, 2 / 6], [2, 0]]))

    @pytest.mark.parametrize("size", [10.0, 1000.0])
    def test_nodes_that_cancel_do_not_make_other_shares_smaller(self, tmp_path, size):
        # Of the importance of single nodes neuron 0 has 1 / (4 + size) with them.
        about = subject(tmp_path, [1.0, 3.0, size, -size])
        assert shares(lost(about, [neurons(0), neurons(1)])) == pytest.approx([0.25, 0.75])
        assert about.node_importance.mean() == pytest.approx([1, 3, size, 0])

    def test_of_a_draw_without_any_effect_it_is_infinite_or_0_where_nothing_is_lost(self, tmp_path):
        # Neuron 1 is on for women only, who come first: of men alone the whole circuit without neuron 0 has no effect.
        found = lost(subject(tmp_path, [1.0], [SIGN.clamp(min=0)]), [neurons(0), []])
        men = np.arange(140)[None] >= 70
        assert found.under(men / men.sum())[0].tolist() == [0, 0]
        assert share(np.array([[1.0, 0.0]]), np.array([[0.0]])).tolist() == [[math.inf, 0.0]]

    def test_however_many_groups_there_are_it_is_no_gradient(self, tmp_path, monkeypatch):
        # Half of the circuit's 2: left out, the log-odds fall by 1 whatever the limit for single nodes is.
        monkeypatch.setattr(importance, "MOST_LEFT_OUT", 1)
        found = lost(subject(tmp_path, [1.0, 1.0], base=answers_only(when=0.0)), [neurons(0), neurons(1)])
        assert not any(falls.by_gradient for falls in found.changed.values())


class TestKinds:
    """ "when" has logit 0. Neuron 0 moves she - he by 4, neuron 1 adds 5 to both.

    The log-odds of the target among three, with both: 7 - log(e^3 + 1) = 3.9514; without 0: 5 - log(e^5 + 1) = -0.0067;
    without 1: 2 - log(e^-2 + 1) = 1.8731; without both: -log 2 = -0.6931. So of 4.6446 neuron 0 has 3.9581 or 85.2 %
    and neuron 1 2.0783 or 44.7 %. Against the other answer alone, neuron 0 has 4 of 4 and neuron 1 none.
    """

    GROUPS = (neurons(0), neurons(1))
    FULL = (0.8522, 0.4475)

    def about(self, tmp_path, *writes, loss="full"):
        firsts = [SIGN if isinstance(write, float) else ONE for write in writes]
        return subject(tmp_path, writes, firsts, base=answers_only(when=0.0), loss=loss)

    def test_the_larger_share_of_both_kinds_counts(self, tmp_path):
        found = lost(self.about(tmp_path, 4.0, BOTH_ANSWERS), self.GROUPS)
        assert sorted(found.whole) == ["binary", "full"]
        assert found.whole["full"].mean() == pytest.approx([4.6446], abs=1e-4)
        assert found.whole["binary"].mean() == pytest.approx([4])
        falls = found.changed["full"].mean() / found.whole["full"].mean()
        assert falls == pytest.approx(self.FULL, abs=1e-4)
        assert shares(found) == pytest.approx([1, self.FULL[1]], abs=1e-4)

    def test_where_the_tasks_loss_is_binary_only_that_counts(self, tmp_path):
        found = lost(self.about(tmp_path, 4.0, BOTH_ANSWERS, loss="binary"), self.GROUPS)
        assert list(found.whole) == ["binary"]
        assert shares(found) == pytest.approx([1, 0])

    def test_nodes_that_make_both_answers_likely_do_not_make_a_share_smaller(self, tmp_path):
        # "when" has logit 500 here, and neuron 1 adds 1000 to both answers: log-odds of 4 with both neurons, 0 without
        # neuron 0, -500 without either. Of the 504 neuron 0 has 4.
        nodes = [(SIGN, ONE), (ONE, ONE)]
        model = Readout(nodes, [pronoun(4.0), {"she": 1000.0, "he": 1000.0}], answers_only(when=500.0))
        found = lost(subject_of(bench_of(model, write_task(tmp_path)), mlp_neuron=[0, 1]), self.GROUPS)
        assert found.changed["full"].mean()[0] / found.whole["full"].mean()[0] == pytest.approx(4 / 504)
        assert shares(found)[0] == pytest.approx(1)

    def test_a_kind_on_which_the_circuit_has_no_effect_does_not_count(self, tmp_path):
        # Neuron 0 adds 5 to both answers, which changes nothing between them: 5 - log(e^5 + 1) + log 2 = 0.6864.
        found = lost(self.about(tmp_path, BOTH_ANSWERS), [neurons(0)])
        assert list(found.whole) == list(found.changed) == ["full"]
        assert found.whole["full"].mean() == pytest.approx([math.log(2) - math.log1p(math.exp(-5))])
        assert shares(found) == pytest.approx([1])

    @pytest.mark.parametrize(("amplitude", "counts"), [(0.051, True), (0.049, False)])
    def test_a_kind_counts_from_a_twentieth_of_a_nat(self, tmp_path, amplitude, counts):
        # Neurons 0 and 2 have 3 and amplitude - 3 between the answers: neuron 0 would have 3 / 0.049 of the little.
        found = lost(self.about(tmp_path, 3.0, BOTH_ANSWERS, amplitude - 3.0), [neurons(0)])
        assert ("binary" in found.whole) is counts
        assert (shares(found)[0] > 10) is counts

    @pytest.mark.parametrize(("amplitude", "negligible"), [(0.051, False), (0.049, True)])
    def test_where_no_kind_counts_the_effect_is_negligible(self, tmp_path, amplitude, negligible):
        found = lost(subject(tmp_path, [amplitude]), [neurons(0)])
        assert found.is_negligible is negligible


class TestSwaps:
    def test_giving_a_node_the_models_activation_is_not_ablating_it(self, tmp_path):
        # 2 + 6 in the circuit, 2 without neuron 1, and 2 - 6 where it is as in the model.
        about = subject_of(bench_of(flipping(), write_task(tmp_path)), **KEPT)
        groups = [neurons(0), neurons(1), neurons(0, 1)]
        assert shares(lost(about, groups)) == pytest.approx([2 / 8, 6 / 8, 1])
        assert shares(lost(about, groups, model_activations(about))) == pytest.approx([0, 12 / 8, 12 / 8])

    def test_nodes_that_are_the_same_in_the_model_lose_nothing(self, tmp_path):
        about = subject_of(bench_of(flipping(), write_task(tmp_path)), **KEPT)
        inputs = [("0.mlp_in", 0), ("0.mlp_in", 1)]
        assert shares(lost(about, [inputs], model_activations(about))) == pytest.approx([0])

    def test_the_effect_of_the_whole_circuit_is_always_that_of_ablating_it(self, tmp_path):
        about = subject_of(bench_of(flipping(), write_task(tmp_path)), **KEPT)
        found = lost(about, [neurons(1)], model_activations(about))
        assert found.whole["full"].mean() == pytest.approx([8])

    def test_it_runs_under_the_models_norm_scales(self, tmp_path):
        # Neurons 0 and 1 write (3, -3) and (1, -1) behind a norm, the rest of the model ten times as much elsewhere.
        # Live, the norm would scale what is left to the same size, and neither would be missed.
        writes = [pronoun(6.0), pronoun(2.0), {"pad": 40.0}]
        model = Readout([(SIGN, ONE)] * 2 + [(ONE, ONE)], writes, gain=5.0)
        about = subject_of(bench_of(model, write_task(tmp_path), loss="binary"), mlp_neuron=[0, 1])
        assert shares(lost(about, [neurons(0), neurons(1)])) == pytest.approx([0.75, 0.25])


class TestModelActivations:
    def test_they_are_those_of_the_model_and_not_of_the_circuit(self, tmp_path):
        # For a woman (the first 70) neurons 0 and 1 are 1 and -1 in the model, in the circuit 1 and 1.
        found = model_activations(subject_of(bench_of(flipping(), write_task(tmp_path)), **KEPT))
        assert sorted(found) == ["0.mlp_in", "0.mlp_neuron"]
        assert found["0.mlp_neuron"].shape == (1, 140, 2, 2)
        assert found["0.mlp_neuron"][0, 0].tolist() == [[1, -1], [1, -1]]
        assert found["0.mlp_neuron"][0, 70].tolist() == [[-1, 1], [-1, 1]]

    def test_only_kept_nodes_have_one_and_sites_without_any_are_left_out(self, tmp_path):
        # Neurons 0 to 2 are 1, 2, 3 times the sign.
        nodes = [(size * SIGN, ONE) for size in (1, 2, 3)]
        model = Readout(nodes, [pronoun(1.0)] * 3, answers_only(), mix=torch.eye(3).tolist())
        found = model_activations(subject_of(bench_of(model, write_task(tmp_path)), mlp_neuron=[0, 2]))
        assert list(found) == ["0.mlp_neuron"]
        assert found["0.mlp_neuron"][0, 0, 0].tolist() == [1, 3]

    def test_heads_have_one_at_every_position(self, tmp_path):
        # A value is the sign at the name and 0 at the action.
        model = Attention([table({})], [SIGN], [0.0], [[1.0]], [pronoun(6.0)])
        found = model_activations(subject_of(bench_of(model, write_task(tmp_path)), attn_v=[0], attn_out=[0]))
        assert found["0.attn_v"].shape == (1, 140, 2, 1)
        assert found["0.attn_v"][0, 0].tolist() == [[1], [0]]


@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_a_restricted_and_a_masked_circuit_have_the_same_shares(tmp_path, norms):
    found = []
    for about in random_circuits(write_task(tmp_path), norms, seed=11):
        in_model = model_activations(about)
        sites = [[node for node in about.compiled.nodes if node[0] == site] for site in in_model]
        assert [value.shape[-1] for value in in_model.values()] == [len(nodes) for nodes in sites]
        ablated, swapped = lost(about, sites), lost(about, sites, in_model)
        assert sorted(ablated.whole) == ["binary", "full"]
        found.append((np.array([shares(ablated), shares(swapped)]), in_model))
    (restricted, activations), (masked, others) = found
    assert restricted == pytest.approx(masked, abs=1e-5)
    assert (restricted.max(1) > 0.1).all()
    assert activations.keys() == others.keys()
    assert all(torch.allclose(value, others[site], atol=1e-6) for site, value in activations.items())
