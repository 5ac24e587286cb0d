"""sufficiency: loss and size of a circuit whose logit difference is known for every prompt."""

import math

import pytest
import torch
from fake_models import (
    ONE,
    SIGN,
    TEN_FEMALE,
    TEN_MALE,
    TEST,
    VALIDATION,
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

from faithcheck.checks.sufficiency import Sufficiency
from faithcheck.circuit import NodeScores
from faithcheck.cutting import Cutter
from faithcheck.subject import Subject
from faithcheck.verdict import Verdict

LOG9, LOG4 = math.log(9), math.log(4)
CHECK = Sufficiency()


def bench(tmp_path, own=ONE, total=100, first=SIGN):
    """Node 0 alone answers, with a logit difference of own[action]; the other nodes do nothing."""
    idle = (table({}), ONE)
    model = Readout([(first, own)] + [idle] * (total - 1), [pronoun(1.0)] + [{}] * (total - 1), answers_only())
    return bench_of(model, write_large_task(tmp_path))


def test_the_loss_is_the_mean_cross_entropy_on_the_test_split(tmp_path):
    # Half the test actions give the answer p = 0.9, half p = 0.8: mean loss -(ln 0.9 + ln 0.8) / 2 = 0.1643.
    own = table({**dict.fromkeys(TEST[:5], LOG9), **dict.fromkeys(TEST[5:], LOG4)}, LOG9)
    loss = metric_of(CHECK.measure(subject_of(bench(tmp_path, own), mlp_neuron=[0])), "loss")
    assert loss.value == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)
    assert loss.n == 200


def test_a_small_circuit_that_reaches_the_target_passes(tmp_path):
    # p = 0.9 on every prompt: loss 0.105 <= 0.15 + 0.05; 1 node of 100.
    finding = finding_of(CHECK, subject_of(bench(tmp_path, LOG9 * ONE), mlp_neuron=[0]))
    assert finding.verdict is Verdict.PASS
    assert [j.gate.bound for j in finding.metrics] == pytest.approx([0.2, 0.1])
    assert [j.metric.estimate.value for j in finding.metrics] == pytest.approx([-math.log(0.9), 0.01])


@pytest.mark.parametrize(("kept", "verdict"), [(10, Verdict.PASS), (11, Verdict.FAIL), (100, Verdict.FAIL)])
def test_the_share_of_nodes_may_be_a_tenth_and_no_more(tmp_path, kept, verdict):
    finding = finding_of(CHECK, subject_of(bench(tmp_path, LOG9 * ONE), mlp_neuron=list(range(kept))))
    assert finding.verdict is verdict
    assert [j.verdict for j in finding.metrics] == [Verdict.PASS, verdict]
    assert finding.metrics[1].metric.estimate.value == kept / 100


def test_nodes_are_counted_over_all_sites(tmp_path):
    # 3 inputs and 5 neurons: 2 kept of 8.
    mix = [[1, 0, 0]] + [[0, 0, 0]] * 4
    model = Readout([(SIGN, LOG9 * ONE)] * 3, [pronoun(1.0)] + [{}] * 4, answers_only(), mix=mix)
    subject = subject_of(bench_of(model, write_large_task(tmp_path)), mlp_in=[0], mlp_neuron=[0])
    assert metric_of(CHECK.measure(subject), "node_fraction").value == 2 / 8


def test_a_circuit_that_is_good_on_validation_and_bad_on_test_fails_on_its_loss(tmp_path):
    # Validation p = 0.9 (reached); test p = 0.6: loss -ln 0.6 = 0.511 > 0.2.
    own = table({**dict.fromkeys(VALIDATION, LOG9), **dict.fromkeys(TEST, math.log(1.5))})
    subject = subject_of(bench(tmp_path, own), mlp_neuron=[0])
    finding = finding_of(CHECK, subject)
    assert subject.reached
    assert [j.verdict for j in finding.metrics] == [Verdict.FAIL, Verdict.PASS]
    assert finding.metrics[0].metric.estimate.value == pytest.approx(-math.log(0.6))
    assert "0.511 nats" in finding.reason
    assert "gate <= 0.2" in finding.reason


def test_a_loss_whose_interval_holds_the_gate_is_inconclusive(tmp_path):
    # Per name p = 0.9 (14 names) or 0.6 (6 names): mean (14 x 0.105 + 6 x 0.511) / 20 = 0.227, SE of 20 names
    # about 0.04.
    hard = dict.fromkeys([*TEN_FEMALE[:3], *TEN_MALE[:3]], math.log(1.5) / LOG9)
    first = SIGN * table({**hard, **dict.fromkeys([*TEN_FEMALE[3:], *TEN_MALE[3:]], 1.0)})
    own = table(dict.fromkeys(TEST, LOG9), 9.0)
    finding = finding_of(CHECK, subject_of(bench(tmp_path, own, first=first), mlp_neuron=[0]))
    loss = finding.metrics[0].metric.estimate
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert loss.value == pytest.approx(-(14 * math.log(0.9) + 6 * math.log(0.6)) / 20)
    assert loss.low < 0.2 < loss.high
    assert "would probably settle it" in finding.reason


def test_a_circuit_that_misses_the_target_on_validation_fails_whatever_its_test_loss(tmp_path):
    # p = 0.5 on validation (loss 0.69 > 0.15) and 0.9 on test.
    own = table(dict.fromkeys(TEST, LOG9))
    finding = finding_of(CHECK, subject_of(bench(tmp_path, own), mlp_neuron=[0]))
    assert finding.verdict is Verdict.FAIL
    assert finding.reason == "the circuit misses the target loss of 0.15 nats on the validation prompts, with 1 nodes"


def test_where_no_size_reaches_the_target_the_reason_says_so_and_the_curve_is_kept(tmp_path):
    home = bench(tmp_path, math.log(1.5) * ONE, total=4)
    cutter = Cutter(home.model, home.prompts("validation"), "full", 0.15, home.ablation)
    scores = NodeScores({"0.mlp_neuron": torch.tensor([4.0, 3.0, 2.0, 1.0])})
    cut = cutter.cut(scores)
    subject = Subject(home, cut.circuit, 0, cut, scores)
    finding = finding_of(CHECK, subject)
    assert finding.verdict is Verdict.FAIL
    assert finding.reason.startswith("no circuit of any size that was evaluated reaches the target loss of 0.15")
    # Sizes 1, 2, 3 (1.5 x 2) and the last; every one has p = 0.6.
    assert finding.evidence["0/curve"][:, 0].tolist() == [1, 2, 3, 4]
    assert finding.evidence["0/curve"][:, 1].tolist() == pytest.approx([-math.log(0.6)] * 4)


def test_the_whole_model_reaches_every_target_it_reaches_itself_and_fails_on_size(tmp_path):
    home = bench(tmp_path, LOG9 * ONE)
    subject = Subject(home, whole(home.model))
    finding = finding_of(CHECK, subject)
    assert finding.metrics[0].metric.estimate.value == pytest.approx(home.model_loss())
    assert finding.verdict is Verdict.FAIL
    assert "the circuit keeps 100.00% of the model's nodes (1, gate <= 0.1)" in finding.reason
