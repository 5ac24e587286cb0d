"""generalization: models whose preferred answer is known for every prompt, on the held-out split and on a shift."""

import math
from dataclasses import replace

import pytest
import torch
from fake_models import (
    FEMALE,
    MALE,
    ODD,
    ONE,
    SIGN,
    TEST,
    Readout,
    answers_only,
    bench_of,
    finding_of,
    gates_of,
    metric_of,
    pronoun,
    subject_of,
    table,
    write_task,
)

from faithcheck.check import Metric
from faithcheck.checks.generalization import Generalization
from faithcheck.estimate import Estimate
from faithcheck.verdict import Verdict

CHECK = Generalization()
EVERY = table({}, 1.0)


def turned(words):
    """A node of -2 x the name's sign after these actions: with node 0 it turns the answer round."""
    return SIGN, table(dict.fromkeys(words, -2.0))


def bench(tmp_path, *turns, own=EVERY, amplitude=6.0, base=None, **task):
    """Node 0 prefers the right pronoun by `amplitude` (p = 0.998); node i turns the answer after turns[i - 1]."""
    nodes = [(SIGN, own), *map(turned, turns)]
    model = Readout(nodes, [pronoun(amplitude)] * len(nodes), answers_only() if base is None else base)
    return bench_of(model, write_task(tmp_path, **task))


def each_its_own(home):
    """The bench with every prompt an independent unit: 140 of them, where its names are only 14."""
    for split in ("test", "odd"):
        prompts = home.prompts(split)
        home._prompts[split] = replace(prompts, units=torch.arange(len(prompts)))
    return home


def gap(subject):
    return metric_of(CHECK.measure(subject), "disagreement_gap", "odd")


def test_the_gap_is_the_share_of_disagreements_on_the_shift_minus_that_on_the_held_out_split(tmp_path):
    # Node 0 alone. The model turns round after 3 of 10 odd actions (42 of 140) and 1 of 10 test actions (14 of 140).
    estimate = gap(subject_of(each_its_own(bench(tmp_path, ODD[:3], TEST[:1])), mlp_neuron=[0]))
    assert estimate.value == pytest.approx(42 / 140 - 14 / 140)
    assert estimate.n == 140
    # Clopper-Pearson: [0.2255, 0.3832] and [0.0558, 0.1621]; MOVER: 0.2 -/+ sqrt of the squared distances.
    assert estimate.low == pytest.approx(0.2 - math.hypot(0.3 - 0.2255, 0.1621 - 0.1), abs=2e-4)
    assert estimate.high == pytest.approx(0.2 + math.hypot(0.3832 - 0.3, 0.1 - 0.0558), abs=2e-4)


def test_a_right_circuit_of_a_model_that_is_wrong_on_the_shift_fails(tmp_path):
    finding = finding_of(CHECK, subject_of(bench(tmp_path, ODD), mlp_neuron=[0]))
    assert finding.verdict is Verdict.FAIL
    assert finding.metrics[0].metric.estimate.value == 1.0
    assert "on odd prompts the circuit contradicts the model in 100% more of the cases" in finding.reason


def test_a_circuit_that_is_wrong_where_the_model_is_wrong_passes(tmp_path):
    # No disagreement in 140 on either side: Clopper-Pearson gives up to 1 - 0.025^(1/140) = 0.026.
    subject = subject_of(each_its_own(bench(tmp_path, ODD)), mlp_neuron=[0, 1])
    finding = finding_of(CHECK, subject)
    estimate = finding.metrics[0].metric.estimate
    assert finding.verdict is Verdict.PASS
    assert (estimate.value, estimate.high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 140), abs=1e-9))
    assert metric_of(CHECK.measure(subject), "accuracy_gap").value == 0.0


def test_agreement_on_fourteen_names_leaves_it_open(tmp_path):
    # 0 of 14 independent units: up to 1 - 0.025^(1/14) = 0.23 could still disagree.
    finding = finding_of(CHECK, subject_of(bench(tmp_path, ODD), mlp_neuron=[0, 1]))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.metrics[0].metric.estimate.high == pytest.approx(1 - 0.025 ** (1 / 14), abs=1e-9)


def test_disagreement_that_is_as_common_on_held_out_prompts_is_not_held_against_the_circuit(tmp_path):
    assert gap(subject_of(bench(tmp_path, ODD[:3], TEST[:3]), mlp_neuron=[0])).value == 0.0


def test_a_few_contradictions_leave_it_open(tmp_path):
    # 1 odd action of 10: 0.1, Clopper-Pearson [0.056, 0.162] against 0 of 140: the interval holds 0.05.
    finding = finding_of(CHECK, subject_of(bench(tmp_path, ODD[:1]), mlp_neuron=[0]))
    assert finding.metrics[0].metric.estimate.value == pytest.approx(0.1)
    assert finding.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("unsure", "n", "verdict"), [(2, 112, Verdict.PASS), (3, 98, Verdict.INCONCLUSIVE)])
def test_fewer_than_100_prompts_on_which_the_model_is_confident_decide_nothing(tmp_path, unsure, n, verdict):
    # After an unsure action the difference is 2: p = 0.88 < 0.9. 14 prompts an action.
    own = table(dict.fromkeys(ODD[:unsure], 2 / 6), 1.0)
    finding = finding_of(CHECK, subject_of(each_its_own(bench(tmp_path, own=own)), mlp_neuron=[0]))
    assert finding.metrics[0].metric.estimate.n == n
    assert finding.verdict is verdict
    assert ("needs at least 100 prompts, had 98" in finding.reason) is (n == 98)


def test_the_held_out_split_needs_100_confident_prompts_too(tmp_path):
    own = table(dict.fromkeys(TEST[:3], 2 / 6), 1.0)
    finding = finding_of(CHECK, subject_of(bench(tmp_path, own=own), mlp_neuron=[0]))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "needs at least 100 prompts, had 98" in finding.reason


def test_prompts_on_which_the_model_is_unsure_do_not_count(tmp_path):
    # After y0 the model prefers the other answer with p = 0.88 only: -2 in all, 3 for the circuit.
    model = Readout([(SIGN, EVERY), (SIGN, table({"y0": 1.0}))], [pronoun(6.0), pronoun(-8.0)], answers_only())
    estimate = gap(subject_of(bench_of(model, write_task(tmp_path)), mlp_neuron=[0]))
    assert (estimate.value, estimate.n) == (0.0, 126)


def test_a_model_that_is_never_sure_gives_no_verdict(tmp_path):
    finding = finding_of(CHECK, subject_of(bench(tmp_path, amplitude=1.0), mlp_neuron=[0]))
    assert finding.verdict is Verdict.INCONCLUSIVE


def test_either_answer_makes_the_model_confident_but_no_other_token_does(tmp_path):
    # "when" has logit 9 against 3 for the pronoun: the model is sure of neither answer.
    home = bench(tmp_path, base=answers_only(when=9.0))
    assert gap(subject_of(home, mlp_neuron=[0])).n == 0


def test_the_accuracy_gap_is_the_models_accuracy_minus_the_circuits_on_the_shift(tmp_path):
    # The model is wrong after 3 of 10 odd actions, node 0 never: 0.7 - 1.
    measurement = CHECK.measure(subject_of(bench(tmp_path, ODD[:3]), mlp_neuron=[0]))
    assert metric_of(measurement, "accuracy_gap", "odd").value == pytest.approx(-0.3)


def test_a_token_that_neither_can_give_adds_nothing_to_the_divergences(tmp_path):
    model = Readout([(SIGN, ONE)] * 2, [pronoun(2.0)] * 2, answers_only(when=-math.inf))
    measurement = CHECK.measure(subject_of(bench_of(model, write_task(tmp_path)), mlp_neuron=[0]))
    assert math.isfinite(metric_of(measurement, "kl_vocabulary").value)


def test_the_divergences_are_from_the_model_to_the_circuit_over_the_answers_and_over_the_vocabulary(tmp_path):
    # Two equal nodes of difference 2: right, wrong and "when" have logits 2, -2, 0 in the model; 1, -1, 0 in the
    # circuit.
    model = Readout([(SIGN, ONE)] * 2, [pronoun(2.0)] * 2, answers_only(when=0.0))
    measurement = CHECK.measure(subject_of(bench_of(model, write_task(tmp_path)), mlp_neuron=[0]))

    def divergence(p, q):
        p, q = ([math.exp(v) / sum(map(math.exp, row)) for v in row] for row in (p, q))
        return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))

    answers, vocabulary = (metric_of(measurement, name).value for name in ("kl_answers", "kl_vocabulary"))
    # Over the answers: p = 0.982, q = 0.881: 0.982 ln(0.982 / 0.881) + 0.018 ln(0.018 / 0.119) = 0.0728.
    assert answers == pytest.approx(divergence((2, -2), (1, -1))) == pytest.approx(0.0728, abs=1e-4)
    assert vocabulary == pytest.approx(divergence((2, -2, 0), (1, -1, 0)))
    assert vocabulary != pytest.approx(divergence((1, -1, 0), (2, -2, 0)), abs=1e-3)


def test_a_circuit_runs_here_with_the_norms_it_was_found_with(tmp_path):
    # Circuit of node 1, a hundredth of node 0. Live its sign fills the norm; both agree with the model, but the
    # divergence to the model differs: live the logit difference is gain x sqrt(2 V), frozen a hundredth of the model's.
    def divergence(norms):
        model = Readout([(SIGN, ONE)] * 2, [{"she": 1.0, "he": -1.0}, {"she": 0.01, "he": -0.01}], gain=1.0)
        home = bench_of(model, write_task(tmp_path), loss="binary")
        return metric_of(CHECK.measure(subject_of(home, norms=norms, mlp_neuron=[1])), "kl_answers").value

    assert divergence("live") == pytest.approx(0.0, abs=1e-9)
    assert divergence("frozen") > 0.1


def test_generalizing_seeds_is_the_share_of_circuits_whose_estimate_is_within_the_margin():
    # 0, 0.04 and 0.05 are within 0.05; 0.2 is not. Intervals do not matter here.
    metrics = [
        Metric("disagreement_gap", Estimate(value, -1, 1, 140, 100), seed, on="odd")
        for seed, value in enumerate([0.0, 0.04, 0.05, 0.2])
    ]
    [summary] = CHECK.summary(metrics, gates_of(CHECK))
    assert (summary.name, summary.on, summary.seed, summary.noun) == ("generalizing_seeds", "odd", None, "seeds")
    assert (summary.estimate.value, summary.estimate.n) == (0.75, 4)


def test_the_summary_is_reported_with_several_circuits_and_the_worst_decides(tmp_path):
    home = bench(tmp_path, ODD)
    right, faithful = subject_of(home, seed=0, mlp_neuron=[0]), subject_of(home, seed=1, mlp_neuron=[0, 1])
    finding = finding_of(CHECK, right, faithful)
    assert finding.verdict is Verdict.FAIL
    assert finding.reason.startswith("1 of 2 circuits: ")
    assert finding.metrics[-1].metric.name == "generalizing_seeds"
    assert finding.metrics[-1].metric.estimate.value == 0.5
    assert finding.metrics[-1].gate is None


def test_the_logit_differences_of_model_and_circuit_are_kept(tmp_path):
    kept = CHECK.measure(subject_of(bench(tmp_path, ODD), mlp_neuron=[0])).evidence["odd/logit_difference"]
    assert kept.shape == (140, 2)
    assert kept[0].tolist() == [-6.0, 6.0]


def test_a_circuit_that_prefers_neither_answer_does_not_agree_with_the_model(tmp_path):
    # The circuit says nothing after odd actions, the model is wrong there: 140 of 140 are not the model's behaviour.
    model = Readout(
        [(SIGN, table(dict.fromkeys(ODD, 0.0), 1.0)), (SIGN, table(dict.fromkeys(ODD, -1.0)))],
        [pronoun(6.0)] * 2,
        answers_only(),
    )
    assert gap(subject_of(bench_of(model, write_task(tmp_path)), mlp_neuron=[0])).value == 1.0


def test_a_shift_of_two_names_is_too_few_units_for_a_pass(tmp_path):
    # 2 names x 60 actions: 120 confident prompts, 2 independent units.
    many = [f"{action} {other}" for action in ODD for other in TEST[:6]]
    home = bench(tmp_path, odd=many, odd_names=(FEMALE[:1], MALE[:1]))
    assert finding_of(CHECK, subject_of(home, mlp_neuron=[0])).verdict is Verdict.INCONCLUSIVE


def test_a_circuit_without_a_confident_prompt_is_not_counted_as_generalizing(tmp_path):
    # After every odd action the difference is 1: p = 0.73, no confident prompt.
    own = table(dict.fromkeys(ODD, 1 / 6), 1.0)
    finding = finding_of(CHECK, subject_of(bench(tmp_path, own=own), mlp_neuron=[0]))
    shares = [j.metric.estimate.value for j in finding.metrics if j.metric.name == "generalizing_seeds"]
    assert shares != [1.0]


def test_a_task_without_a_shift_is_not_applicable(tmp_path):
    from dataclasses import replace

    home = bench(tmp_path)
    home.task = replace(home.task, shifts=())
    assert finding_of(CHECK, subject_of(home, mlp_neuron=[0])).verdict is Verdict.NOT_APPLICABLE
