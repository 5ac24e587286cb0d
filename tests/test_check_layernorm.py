"""layernorm: a model whose one norm divides by a scale known by hand.

The stream holds the pronoun's channels (+a, -a for she and he) and a bulk channel of sqrt(6): it has the square sum
2 a^2 + 6, and the norm divides by sqrt(of that / vocabulary).
"""

import math

import pytest
import torch
from fake_models import ONE, SIGN, WORDS, Readout, bench_of, finding_of, metric_of, subject_of, whole, write_large_task

from faithcheck.checks.layernorm import LayerNorm
from faithcheck.circuit import NodeScores
from faithcheck.cutting import Cutter
from faithcheck.subject import Subject
from faithcheck.verdict import Verdict

CHECK = LayerNorm()
WANTED = math.log(19)
"""The model's logit difference: p = 0.95, loss -ln 0.95 = 0.0513 (binary)."""
BULK = {"pad": math.sqrt(6)}


def loss(difference):
    return math.log1p(math.exp(-difference))


def model(*amplitudes):
    """One node per amplitude a writes (a, -a) times the name's sign; the last node writes the bulk."""
    total = sum(amplitudes)
    scale = math.sqrt((2 * total**2 + 6) / len(WORDS))
    nodes = [(SIGN, ONE)] * len(amplitudes) + [(ONE, ONE)]
    return Readout(nodes, [{"she": a, "he": -a} for a in amplitudes] + [BULK], gain=WANTED * scale / (2 * total))


def bench(tmp_path, *amplitudes, target=0.15):
    return bench_of(model(*amplitudes), write_large_task(tmp_path), loss="binary", target=target)


def test_the_true_circuit_passes_with_the_loss_of_the_model(tmp_path):
    # Node 0 alone makes the difference; the bulk only scales. Frozen, its difference is the model's log 19.
    home = bench(tmp_path, 1.0)
    subject = subject_of(home, mlp_neuron=[0])
    frozen = metric_of(CHECK.measure(subject), "frozen_loss")
    assert frozen.value == pytest.approx(-math.log(0.95))
    assert frozen.value == pytest.approx(home.model_loss())
    assert finding_of(CHECK, subject).verdict is Verdict.PASS


def test_the_ratio_of_root_mean_squares_is_taken_at_the_answer_under_live_norms(tmp_path):
    # Circuit: square sum 2; model: 2 + 6. Ratio sqrt(2 / 8) = 0.5, although the circuit is faithful.
    finding = finding_of(CHECK, subject_of(bench(tmp_path, 1.0), mlp_neuron=[0]))
    [ratio] = [j for j in finding.metrics if j.metric.name == "rms_ratio"]
    assert ratio.metric.estimate.value == pytest.approx(0.5)
    assert ratio.metric.on == "ln_f"
    assert ratio.gate is None
    assert finding.evidence["0/rms_ratio/ln_f"].tolist() == pytest.approx([0.5] * 200)


def test_the_whole_model_has_ratio_one(tmp_path):
    home = bench(tmp_path, 1.0, 0.1)
    assert metric_of(CHECK.measure(Subject(home, whole(home.model))), "rms_ratio").value == pytest.approx(1.0)


def test_a_decoy_that_lives_on_the_last_norm_fails(tmp_path):
    # Node 1 writes a tenth of node 0. Live, the norm divides it by its own size: 2 x 0.1 x gain / sqrt(0.02 / V),
    # that is log 19 x (0.1 / 1.1) x sqrt(8.42 / 0.02) = 5.49, loss 0.004. Frozen: log 19 x 0.1 / 1.1 = 0.268, loss
    # 0.568 > 0.25.
    home = bench(tmp_path, 1.0, 0.1)
    decoy = subject_of(home, mlp_neuron=[1])
    live = float(decoy.losses(decoy.run()).mean())
    finding = finding_of(CHECK, decoy)
    assert live == pytest.approx(loss(WANTED * 0.1 / 1.1 * math.sqrt(8.42 / 0.02)))
    assert decoy.reached
    assert finding.metrics[0].metric.estimate.value == pytest.approx(loss(WANTED * 0.1 / 1.1))
    assert finding.metrics[1].metric.estimate.value == pytest.approx(math.sqrt(0.02 / 8.42))
    assert finding.verdict is Verdict.FAIL
    assert "the circuit lives on the norms" in finding.reason


def test_a_model_without_norms_has_nothing_to_judge(tmp_path):
    home = bench_of(Readout([(SIGN, ONE)], [{"she": 3.0, "he": -3.0}]), write_large_task(tmp_path), loss="binary")
    finding = finding_of(CHECK, subject_of(home, mlp_neuron=[0]))
    assert (finding.verdict, finding.reason) == (Verdict.NOT_APPLICABLE, "the model has no norm")


def test_the_gate_is_the_target_loss_plus_a_tenth(tmp_path):
    # Frozen loss 0.568: a target of 0.47 allows 0.57, one of 0.46 does not.
    home = bench(tmp_path, 1.0, 0.1)
    subject = subject_of(home, mlp_neuron=[1])
    assert finding_of(CHECK, subject, target=0.47).verdict is Verdict.PASS
    assert finding_of(CHECK, subject, target=0.46).verdict is Verdict.FAIL


def live_cut(home, scores):
    """The cut that an extraction with live norms makes."""
    return Cutter(home.model, home.prompts("validation"), home.loss, home.target_loss, home.ablation).cut(scores)


def test_sizes_are_the_same_scores_cut_live_and_frozen(tmp_path):
    # The scores put the decoy first: live it is enough (1 node), frozen it takes node 0 too (2 nodes).
    home = bench(tmp_path, 1.0, 0.1)
    scores = NodeScores({"0.mlp_neuron": torch.tensor([2.0, 3.0, 1.0])})
    measurement = CHECK.measure(subject_of(home, scores=scores, cut=live_cut(home, scores), mlp_neuron=[1]))
    assert metric_of(measurement, "live_size").value == 1
    assert metric_of(measurement, "frozen_size").value == 2


def test_a_size_that_is_never_reached_has_no_number(tmp_path):
    # Target 0.01: live the decoy alone has 0.004; frozen even all nodes have the model's 0.051.
    home = bench(tmp_path, 1.0, 0.1, target=0.01)
    scores = NodeScores({"0.mlp_neuron": torch.tensor([2.0, 3.0, 1.0])})
    measurement = CHECK.measure(subject_of(home, scores=scores, cut=live_cut(home, scores), mlp_neuron=[1]))
    assert metric_of(measurement, "live_size").value == 1
    assert metric_of(measurement, "frozen_size") is None


def test_a_circuit_that_was_not_extracted_here_has_no_sizes(tmp_path):
    names = [metric.name for metric in CHECK.measure(subject_of(bench(tmp_path, 1.0), mlp_neuron=[0])).metrics]
    assert names == ["frozen_loss", "rms_ratio"]


def test_a_circuit_found_with_frozen_norms_has_the_same_loss_here_as_by_itself(tmp_path):
    subject = subject_of(bench(tmp_path, 1.0, 0.1), norms="frozen", mlp_neuron=[1])
    own = float(subject.losses(subject.run()).mean())
    assert (
        metric_of(CHECK.measure(subject), "frozen_loss").value
        == pytest.approx(own)
        == pytest.approx(loss(WANTED * 0.1 / 1.1))
    )
