"""node_roles: agreement and roles of activations that are written down, and circuits whose nodes change their
meaning."""

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
    finding_of,
    metric_of,
    pronoun,
    subject_of,
    table,
    whole,
    write_large_task,
)

from faithcheck.checks.node_roles import NodeRoles
from faithcheck.roles import NodeRecords, Role, effect, node_records
from faithcheck.subject import Subject
from faithcheck.thresholds import NO_EFFECT
from faithcheck.verdict import Verdict

CHECK = NodeRoles()
FIRST_HALF = np.arange(8) < 4


def records(x, y, roles=()):
    """One node at one position a prompt."""
    x, y = np.array([x], float), np.array([y], float)
    return NodeRecords(x, y, x * x, y * y, x * y, (np.sign(x) == np.sign(y)).astype(float), tuple(roles))


def judged(x, y, roles=()):
    """{name: value} of one node over all prompts alike."""
    return {k: v[0, 0] for k, v in records(x, y, roles).judge(np.full((1, len(x)), 1 / len(x))).items()}


class TestAgreement:
    def test_pearson_r_sign_agreement_and_fvu_by_hand(self):
        # x = 1 2 3 4, y = 2 4 6 -9: E xy = (2 + 8 + 18 - 36) / 4 = -2, means 2.5 and 0.75: covariance -3.875; variances
        # 1.25 and 137 / 4 - 0.5625 = 33.6875; r = -3.875 / sqrt(1.25 x 33.6875) = -0.597.
        # E (x - y)^2 = (1 + 4 + 9 + 169) / 4 = 45.75; FVU = 45.75 / 33.6875 = 1.358. Signs agree in 3 of 4.
        found = judged([1, 2, 3, 4], [2, 4, 6, -9])
        assert found["r"] == pytest.approx(-3.875 / math.sqrt(1.25 * 33.6875)) == pytest.approx(-0.597, abs=1e-3)
        assert found["fvu"] == pytest.approx(45.75 / 33.6875)
        assert found["sign_agreement"] == 0.75

    def test_equal_activations_agree_wholly(self):
        found = judged([1, -2, 3], [1, -2, 3])
        assert (found["r"], found["fvu"], found["sign_agreement"]) == pytest.approx((1.0, 0.0, 1.0))
        assert found["consistent"]

    def test_prompts_count_by_their_weights(self):
        # Weights 1/2, 1/2, 0: x = 0 2, y = 4 0: r = -1; 0, 1/2, 1/2: x = 2 5, y = 0 9: r = 1, signs agree on 5 and
        # 9 only.
        found = records([0, 2, 5], [4, 0, 9]).judge(np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]))
        assert found["r"][:, 0].tolist() == pytest.approx([-1.0, 1.0])
        assert found["sign_agreement"][:, 0].tolist() == [0.0, 0.5]

    @pytest.mark.parametrize(("r", "consistent"), [(0.52, True), (0.48, False)])
    def test_a_node_is_consistent_from_a_correlation_of_a_half(self, r, consistent):
        # x and an orthogonal z of the same size: y = r x + sqrt(1 - r^2) z has correlation r with x.
        x, z = np.array([1, 1, -1, -1.0]), np.array([1, -1, 1, -1.0])
        found = judged(x, r * x + math.sqrt(1 - r * r) * z)
        assert found["r"] == pytest.approx(r)
        assert found["consistent"] == consistent

    @pytest.mark.parametrize(
        ("x", "y", "consistent", "fvu"),
        [
            ([2, 2, 2], [3, 3, 3], True, math.inf),  # constant in both, same sign
            ([2, 2, 2], [2, 2, 2], True, 0.0),
            ([2, 2, 2], [-2, -2, -2], False, math.inf),  # opposite signs
            ([0, 0, 0], [0, 0, 0], True, 0.0),
            ([0, 0, 0], [2, 2, 2], False, math.inf),  # off in one only
            ([2, 2, 2], [1, 2, 3], False, 1.0),  # constant in the circuit only: E (1, 0, 1) / Var 2/3
            ([1, 2, 3], [2, 2, 2], False, math.inf),  # constant in the model only
            ([2, 2 + 1e-7, 2], [3, 3, 3], True, math.inf),  # float32 noise
        ],
    )
    def test_a_constant_node_is_consistent_only_if_constant_with_the_same_sign_in_both(self, x, y, consistent, fvu):
        found = judged(x, y)
        assert found["consistent"] == consistent
        assert found["fvu"] == pytest.approx(fvu)


class TestEffect:
    def test_it_is_the_difference_of_means_over_the_standard_deviation_of_all(self):
        # Means 2 and 5, mean 3.5, variance (2.5^2 + 0.5^2 + 0.5^2 + 2.5^2) / 4 = 3.25.
        found = effect(np.array([[1.0, 3, 4, 6]]), np.full((1, 4), 0.25), np.arange(4) < 2, np.arange(4) >= 2)
        assert found[0, 0] == pytest.approx(-3 / math.sqrt(3.25))

    def test_groups_of_unequal_weight(self):
        # Weights 1/2 1/4 1/4: values 0 | 4 8: means 0 and 6; mean 3, E v^2 = (16 + 64) / 4 = 20, variance 11.
        found = effect(np.array([[0.0, 4, 8]]), np.array([[0.5, 0.25, 0.25]]), np.arange(3) < 1, np.arange(3) >= 1)
        assert found[0, 0] == pytest.approx(-6 / math.sqrt(11))

    def test_a_constant_or_a_draw_without_one_group_has_none(self):
        one = np.arange(4) < 2
        weights = np.array([[0.25] * 4, [0.5, 0.5, 0, 0]])
        assert effect(np.full((1, 4), 3.0), weights, one, ~one)[:, 0].tolist() == [0, 0]
        assert effect(np.array([[1.0, 2, 5, 6]]), weights, one, ~one)[1, 0] == 0


def with_effect(size):
    """8 prompts of variance 1 whose halves differ by `size`: means +-size / 2, within them +-sqrt(1 - size^2 / 4)."""
    spread = math.sqrt(1 - size * size / 4) * np.array([1, 1, -1, -1])
    return np.concatenate([size / 2 + spread, -size / 2 + spread])


class TestRoles:
    @pytest.mark.parametrize(
        ("circuit", "model", "flips", "vanishes"),
        [
            (1.0, -1.0, True, False),
            (-1.0, 1.0, True, False),
            (0.51, -0.51, True, False),
            (0.51, -0.49, False, False),  # the model has too little of an effect to flip, too much to vanish
            (0.49, -1.0, False, False),  # no effect in the circuit
            (1.0, 1.0, False, False),
            (1.0, 0.09, False, True),
            (1.0, -0.09, False, True),
            (-1.0, 0.0, False, True),
            (1.0, 0.11, False, False),
            (0.49, 0.0, False, False),
        ],
    )
    def test_flips_and_vanishes(self, circuit, model, flips, vanishes):
        x, y = with_effect(circuit), with_effect(model)
        role = Role(x[None], y[None], np.array([True]), FIRST_HALF, ~FIRST_HALF)
        found = judged(x, y, [role])
        assert (found["flips"], found["vanishes"]) == (flips, vanishes)
        # Both have the same spread within the halves, so r alone would pass most of them.
        assert found["consistent"] == (found["r"] >= 0.5 and not flips and not vanishes)

    def test_a_node_that_vanishes_is_inconsistent_although_it_correlates(self):
        # r = covariance sqrt(1 - 0.75^2 / 4) x sqrt(1 - 0) of the spreads = 0.927.
        x, y = with_effect(0.75), with_effect(0.0)
        found = judged(x, y, [Role(x[None], y[None], np.array([True]), FIRST_HALF, ~FIRST_HALF)])
        assert found["r"] == pytest.approx(math.sqrt(1 - 0.75**2 / 4))
        assert not found["consistent"]

    def test_a_position_that_bears_no_role_for_the_node_is_passed_over(self):
        x, y = with_effect(1.0), with_effect(-1.0)
        found = judged(x, y, [Role(x[None], y[None], np.array([False]), FIRST_HALF, ~FIRST_HALF)])
        assert not found["flips"]

    def test_one_flipped_role_of_several_is_enough(self):
        x, y = with_effect(1.0), with_effect(-1.0)
        same, flipped = (Role(x[None], v[None], np.array([True]), FIRST_HALF, ~FIRST_HALF) for v in (x, y))
        assert judged(x, y, [same, flipped])["flips"]


def flipping(first=2.0, second=2.0):
    """Inputs a, b, c, d, all the name's sign. Neurons a, b - 2 c and d, of which the first two write `first` and
    `second`.

    The circuit of a, b and the first two neurons lacks c: there the second neuron is the sign, in the model minus
    the sign.
    """
    mix = [[1, 0, 0, 0], [0, 1, -2, 0], [0, 0, 0, 1]]
    write = [pronoun(first), pronoun(second), pronoun(6.0)]
    return Readout([(SIGN, ONE)] * 4, write, answers_only(), mix=mix)


KEPT = {"mlp_in": [0, 1], "mlp_neuron": [0, 1]}


class TestRecords:
    def test_activations_of_circuit_and_model_at_the_answer(self, tmp_path):
        # Kept in the order inputs a, b, neurons 0, 1; for a woman (sign 1) the circuit has 1 1 1 1, the model 1 1 1 -1.
        found = node_records(subject_of(bench_of(flipping(), write_large_task(tmp_path)), **KEPT))
        assert found.x[:, 0].tolist() == [1, 1, 1, 1]
        assert found.y[:, 0].tolist() == [1, 1, 1, -1]
        assert found.x[:, -1].tolist() == [-1, -1, -1, -1]
        assert found.xy[:, 0].tolist() == [1, 1, 1, -1]
        assert found.same_sign[:, 0].tolist() == [1, 1, 1, 0]

    def test_positions_count_by_their_causal_weights(self, tmp_path):
        # A last-layer value node counts half at the name, half at the action. Heads without scores: at the name the
        # pattern is (1, 1 sink) / 2, at the action (1, 1, 1) / 3. Head 0 reads sign, head 1 (not kept) minus twice
        # the sign. Circuit: s/2 and s/3; model: -s/2 and -s/3. x = s (1/4 + 1/6) = 5 s / 12, xx = 1/8 + 1/18 =
        # 13/72.
        model = Attention([table({})] * 2, [SIGN, -2 * SIGN], [0.0, 0.0], [[1.0], [1.0]], [pronoun(6.0)], pool=True)
        kept = {"attn_v": [0], "attn_out": [0], "l1_attn_v": [0], "l1_attn_out": [0]}
        found = node_records(subject_of(bench_of(model, write_large_task(tmp_path)), **kept))
        value = 2  # 0.attn_v, 0.attn_out, 1.attn_v, 1.attn_out
        assert found.x[value, 0] == pytest.approx(5 / 12)
        assert found.y[value, 0] == pytest.approx(-5 / 12)
        assert found.xx[value, 0] == pytest.approx(13 / 72)
        assert found.xy[value, 0] == pytest.approx(-13 / 72)
        assert found.same_sign[value, 0] == pytest.approx(0.0)

    def test_the_circuit_runs_under_the_models_norm_scales(self, tmp_path):
        # One run gets scales: the circuit's, which must be those of the model.
        model = Readout([(SIGN, ONE)] * 2, [{"she": 1.0, "he": -1.0}, {"she": 9.0, "he": -9.0}], gain=1.0)
        seen = []
        run = model.run
        model.run = lambda *args, **kwargs: seen.append(kwargs.get("norm_scales")) or run(*args, **kwargs)
        subject = subject_of(bench_of(model, write_large_task(tmp_path), loss="binary"), mlp_neuron=[0])
        node_records(subject)
        frozen = [scales for scales in seen if scales]
        # 10 times the circuit's stream: sqrt(2 x 100 / vocabulary).
        assert len(frozen) == 1
        assert frozen[0]["ln_f"][0, :, 1].tolist() == pytest.approx([math.sqrt(200 / len(model.write[0]))] * 200)

    def test_a_node_has_a_role_at_every_position_that_bears_one_for_it(self, tmp_path):
        # As above: for a woman the value node is 1/2 at the name and 1/3 at the action, in the model -1/2 and -1/3.
        model = Attention([table({})] * 2, [SIGN, -2 * SIGN], [0.0, 0.0], [[1.0], [1.0]], [pronoun(6.0)], pool=True)
        kept = {"attn_v": [0], "attn_out": [0], "l1_attn_v": [0], "l1_attn_out": [0]}
        found = node_records(subject_of(bench_of(model, write_large_task(tmp_path)), **kept))
        assert len(found.roles) == 2  # the name and the last position, one variable of two levels
        assert [role.circuit[2, 0] for role in found.roles] == pytest.approx([1 / 2, 1 / 3])
        assert [role.model[2, 0] for role in found.roles] == pytest.approx([-1 / 2, -1 / 3])
        assert [bool(role.bears[2]) for role in found.roles] == [True, True]
        # The last layer's output counts at the last position only.
        assert [bool(role.bears[3]) for role in found.roles] == [False, True]

    def test_a_value_node_bears_its_role_at_the_name_in_long_prompts_too(self, tmp_path):
        # 1 name, 22 other words: every visible position has 1/23 = 4.3 % of the weight.
        model = Attention([table({})] * 2, [SIGN, -2 * SIGN], [0.0, 0.0], [[1.0], [1.0]], [pronoun(6.0)], pool=True)
        task = write_large_task(tmp_path, templates=["{name}" + " so" * 21 + " {action}"])
        kept = {"attn_v": [0], "attn_out": [0], "l1_attn_v": [0], "l1_attn_out": [0]}
        found = node_records(subject_of(bench_of(model, task), **kept))
        assert found.judge(np.full((1, 200), 1 / 200))["flips"][0].tolist() == [False, True, True, True]


class TestCheck:
    def test_the_whole_model_passes(self, tmp_path):
        home = bench_of(flipping(), write_large_task(tmp_path))
        finding = finding_of(CHECK, Subject(home, whole(home.model)))
        assert finding.verdict is Verdict.PASS
        assert [j.metric.estimate.value for j in finding.metrics] == pytest.approx([1.0, 0.0, 0.0])

    def test_a_circuit_whose_node_means_the_opposite_fails(self, tmp_path):
        # Difference 2 + 2 in the circuit. Leaving out a, b or either neuron takes 2 away: the flipped neuron has a
        # quarter of the importance. With the model's neurons the difference is 2 - 2: all of the effect is lost.
        finding = finding_of(CHECK, subject_of(bench_of(flipping(), write_large_task(tmp_path)), **KEPT))
        assert finding.evidence["0/importance"].tolist() == pytest.approx([2, 2, 2, 2])
        assert finding.evidence["0/flips"].tolist() == [False, False, False, True]
        assert finding.evidence["0/r"].tolist() == pytest.approx([1, 1, 1, -1])
        assert finding.evidence["0/swapped"].tolist() == pytest.approx([0, 0, 0, 4])
        assert finding.evidence["0/site_swap"].tolist() == pytest.approx([0, 1])
        assert [j.metric.name for j in finding.metrics] == ["consistent_mass", "flipped_nodes", "swap_effect"]
        assert [j.metric.estimate.value for j in finding.metrics] == pytest.approx([0.75, 1.0, 1.0])
        assert [j.verdict for j in finding.metrics] == [Verdict.FAIL] * 3
        assert finding.verdict is Verdict.FAIL
        assert "nodes with 75% of the importance mean the same in circuit and model" in finding.reason
        assert "1 nodes that matter have the opposite meaning" in finding.reason
        assert "with the model's activations at one site the circuit loses 100% of its effect" in finding.reason

    def test_two_flipped_nodes_either_of_which_suffices_fail(self, tmp_path):
        # Neurons 0 and 1 are b - 2 c: the sign in the circuit, minus the sign in the model, where neuron 2 answers.
        # Each of them gives 12: without one the loss hardly rises, the log-odds fall from 24 to 12. Input b gives 24.
        # With both as in the model they are -24, 48 less.
        mix = [[0, 1, -2, 0]] * 2 + [[0, 0, 0, 1]]
        writes = [pronoun(12.0), pronoun(12.0), pronoun(40.0)]
        model = Readout([(SIGN, ONE)] * 4, writes, answers_only(), mix=mix)
        subject = subject_of(bench_of(model, write_large_task(tmp_path)), mlp_in=[1], mlp_neuron=[0, 1])
        finding = finding_of(CHECK, subject)
        assert finding.evidence["0/importance"].tolist() == pytest.approx([24, 12, 12])
        assert [j.metric.estimate.value for j in finding.metrics] == pytest.approx([0.5, 2.0, 2.0])
        assert finding.verdict is Verdict.FAIL

    @pytest.mark.parametrize(
        ("nats", "share", "mass", "flipped", "swap", "verdict"),
        [
            # Inputs a and b and their neurons have (1 - share) and share of the difference twice, so the flipped neuron
            # has share / 2 of the importance. With the model's neurons twice the share of the difference is lost.
            (4.0, 0.0, 1.0, 0, 0.0, Verdict.PASS),
            (4.0, 0.09, 0.955, 0, 0.18, Verdict.PASS),  # a twentieth or less does not count as flipped
            (4.0, 0.11, 0.945, 1, 0.22, Verdict.FAIL),  # mass enough, but one flipped node that matters
            (4.0, 0.3, 0.85, 1, 0.6, Verdict.FAIL),
            (40.0, 0.09, 0.955, 0, 0.18, Verdict.PASS),  # shares, not nats
            (40.0, 0.3, 0.85, 1, 0.6, Verdict.FAIL),
        ],
    )
    def test_mass_and_flips_by_importance(self, tmp_path, nats, share, mass, flipped, swap, verdict):
        home = bench_of(flipping(nats * (1 - share), nats * share), write_large_task(tmp_path))
        finding = finding_of(CHECK, subject_of(home, **KEPT))
        assert [j.metric.estimate.value for j in finding.metrics] == pytest.approx([mass, flipped, swap])
        assert finding.verdict is verdict

    @pytest.mark.parametrize(("total", "decided"), [(0.051, True), (0.049, False)])
    def test_nodes_that_hardly_change_the_answer_decide_nothing(self, tmp_path, total, decided):
        # One neuron, the sign, without an input site.
        model = Readout([(SIGN, ONE)] * 2, [pronoun(total), pronoun(6.0)], answers_only())
        finding = finding_of(CHECK, subject_of(bench_of(model, write_large_task(tmp_path)), mlp_neuron=[0]))
        assert finding.verdict is (Verdict.PASS if decided else Verdict.INCONCLUSIVE)
        assert ("too little to weigh them by" in finding.reason) is not decided

    def test_nodes_that_change_the_answer_one_by_one_but_not_together_decide_nothing(self, tmp_path):
        # Without neuron 0 (6) the log-odds are -6 in place of 0; without neuron 1 (-6) they rise.
        model = Readout([(SIGN, ONE)] * 3, [pronoun(6.0), pronoun(-6.0), pronoun(6.0)], answers_only())
        finding = finding_of(CHECK, subject_of(bench_of(model, write_large_task(tmp_path)), mlp_neuron=[0, 1]))
        assert finding.evidence["0/importance"].tolist() == pytest.approx([6, 0])
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert NO_EFFECT in finding.reason

    def test_a_node_that_vanishes_lowers_the_mass_but_is_not_flipped(self, tmp_path):
        # Neuron 1 is b - c: the sign in the circuit, 0 in the model. Of 2 + 2 the model's neurons lose 2.
        model = flipping()
        model.mix[1, 2] = -1
        measurement = CHECK.measure(subject_of(bench_of(model, write_large_task(tmp_path)), **KEPT))
        assert measurement.evidence["importance"].tolist() == pytest.approx([2, 2, 2, 2])
        assert measurement.evidence["vanishes"].tolist() == [False, False, False, True]
        assert metric_of(measurement, "consistent_mass").value == pytest.approx(0.75)
        assert metric_of(measurement, "flipped_nodes").value == 0
        assert metric_of(measurement, "swap_effect").value == pytest.approx(0.5)

    @pytest.mark.parametrize(("loses", "mass"), [(0.19, 1.0), (0.21, 13 / 14)])
    def test_a_node_that_does_not_correlate_is_consistent_if_the_models_activation_loses_a_fifth_at_most(
        self, tmp_path, loses, mass
    ):
        # Inputs: the sign, 1, and -`loses` for women. Neuron 1 is 1 in the circuit of the first two, in the model
        # 1 - `loses` for women: it moves she - he by 2, for women by 2 x loses less. Cut at 0 a prompt, its importance
        # is 2 / 2, of which the model's activation loses 2 x loses / 2. Inputs and neurons: 6, 1, 6, 1.
        nodes = [(SIGN, ONE), (ONE, ONE), (-loses * (SIGN == 1).double(), ONE)]
        model = Readout(nodes, [pronoun(6.0), pronoun(2.0)], answers_only(), mix=[[1, 0, 0], [0, 1, 1]])
        subject = subject_of(bench_of(model, write_large_task(tmp_path)), mlp_in=[0, 1], mlp_neuron=[0, 1])
        measurement = CHECK.measure(subject)
        assert measurement.evidence["importance"].tolist() == pytest.approx([6, 1, 6, 1])
        assert measurement.evidence["consistent"].tolist() == [True, True, True, False]
        assert measurement.evidence["swapped"].tolist() == pytest.approx([0, 0, 0, loses])
        assert metric_of(measurement, "consistent_mass").value == pytest.approx(mass)
        # All together: 6 + 2 for women, 6 - 2 for men, 6 on average.
        assert metric_of(measurement, "swap_effect").value == pytest.approx(loses / 6)

    @pytest.mark.parametrize(("offset", "flipped", "mass"), [(18, 1, 10 / 19.5), (22, 0, 1.0)])
    def test_a_flip_does_not_count_where_the_models_activation_loses_a_fifth_at_most(
        self, tmp_path, offset, flipped, mass
    ):
        # Neuron 0 is the offset + the sign, in the model the offset - the sign; it moves she - he by 1, and the bias
        # takes the offset off again. Difference 1 in the circuit. Without the neuron the women lose offset + 1 and the
        # men gain: (offset + 1) / 2. With the model's activation all lose 2: of 9.5 that is more than a fifth, of 11.5
        # less. Input 0 has offset / 2; input 1, the sign, 1. Of 9 + 1 + 9.5 the inputs have 10.
        nodes = [(ONE, ONE), (SIGN, ONE), (SIGN, ONE)]
        model = Readout(nodes, [pronoun(1.0), pronoun(9.0)], answers_only(), mix=[[offset, 1, -2], [0, 0, 1]])
        model.base = model.base - offset * table(pronoun(1.0))
        subject = subject_of(bench_of(model, write_large_task(tmp_path)), mlp_in=[0, 1], mlp_neuron=[0])
        measurement = CHECK.measure(subject)
        assert measurement.evidence["importance"].tolist() == pytest.approx([offset / 2, 1, (offset + 1) / 2])
        assert measurement.evidence["flips"].tolist() == [False, False, True]
        assert measurement.evidence["swapped"].tolist() == pytest.approx([0, 0, 2])
        assert metric_of(measurement, "flipped_nodes").value == flipped
        assert metric_of(measurement, "consistent_mass").value == pytest.approx(mass)

    @pytest.mark.parametrize(("share", "verdict"), [(0.29, Verdict.PASS), (0.31, Verdict.FAIL)])
    def test_the_models_activations_at_a_site_may_lose_up_to_three_tenths(self, tmp_path, share, verdict):
        # Neuron i is input i minus `share` times the last one, 1 - share of the sign in the model: r is 1.
        mix = [[1, 0, -share], [0, 1, -share], [0, 0, 1]]
        model = Readout([(SIGN, ONE)] * 3, [pronoun(3.0), pronoun(3.0), pronoun(6.0)], answers_only(), mix=mix)
        subject = subject_of(bench_of(model, write_large_task(tmp_path)), mlp_in=[0, 1], mlp_neuron=[0, 1])
        finding = finding_of(CHECK, subject)
        assert [j.metric.estimate.value for j in finding.metrics] == pytest.approx([1, 0, share])
        assert finding.verdict is verdict

    def test_an_empty_circuit_has_no_node_to_ask_about(self, tmp_path):
        assert (
            finding_of(CHECK, subject_of(bench_of(flipping(), write_large_task(tmp_path)))).verdict
            is Verdict.NOT_APPLICABLE
        )

    def test_the_evidence_names_every_node(self, tmp_path):
        measurement = CHECK.measure(
            subject_of(bench_of(flipping(), write_large_task(tmp_path)), mlp_in=[1], mlp_neuron=[1])
        )
        # Site 0 is 0.mlp_in, site 1 0.mlp_neuron.
        assert torch.equal(measurement.evidence["node"], torch.tensor([[0, 1], [1, 1]]))
