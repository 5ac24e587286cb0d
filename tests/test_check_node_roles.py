"""node_roles: circuits whose nodes change their meaning."""

import pytest
import torch
from fake_models import (
    ONE,
    SIGN,
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

from faithcheck.check import Metric
from faithcheck.checks.node_roles import NodeRoles
from faithcheck.estimate import Estimate
from faithcheck.subject import Subject
from faithcheck.thresholds import NO_EFFECT
from faithcheck.verdict import Verdict

CHECK = NodeRoles()


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
        # The neuron that does not agree, the inputs, the neurons.
        groups = finding.evidence["0/group"].int().tolist()
        assert groups == [[0, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1]]
        assert finding.evidence["0/group_swap"].tolist() == pytest.approx([1, 0, 1])
        assert [j.metric.name for j in finding.metrics] == ["consistent_mass", "flipped_nodes", "swap_effect"]
        assert [j.metric.estimate.value for j in finding.metrics] == pytest.approx([0.75, 1.0, 1.0])
        assert [j.verdict for j in finding.metrics] == [Verdict.FAIL] * 3
        assert finding.verdict is Verdict.FAIL
        assert "nodes with 75% of the importance mean the same in circuit and model" in finding.reason
        assert "1 node that matters has the opposite meaning" in finding.reason
        assert (
            "when nodes take the model's activations the circuit loses 100% of its effect on the answer"
            in finding.reason
        )

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


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1, "1 node that matters has the opposite meaning in the circuit and in the model"),
        (2, "2 nodes that matter have the opposite meaning in the circuit and in the model"),
    ],
)
def test_one_of_the_nodes_that_matter_is_spoken_of_in_the_singular(value, said):
    assert NodeRoles().sentence(Metric("flipped_nodes", Estimate.exact(value, 1)), Verdict.FAIL) == said
