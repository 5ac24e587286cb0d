"""From measurements to a finding, with estimates given by hand."""

import math

import pytest
import torch

from faithcheck.check import Measurement, Metric
from faithcheck.estimate import Estimate
from faithcheck.gates import Gate
from faithcheck.judging import interval_text, judge_circuits, judge_method
from faithcheck.verdict import Verdict

GATES = {"loss": Gate.parse("<= 0.2"), "size": Gate.parse("<= 10")}
PASSES = Estimate(0.1, 0.05, 0.15, 140, 100)
FAILS = Estimate(0.5, 0.4, 0.6, 140, 100)
OPEN = Estimate(0.19, 0.15, 0.23, 140, 100)
SMALL = Estimate.exact(5, 100)


class Check:
    name, scope, question = "toy_check", "circuit", "?"
    gates = {"loss": "<= 0.2", "size": "<= 10"}  # noqa: RUF012

    def sentence(self, metric, verdict):
        return f"the {metric.name} says {verdict.value}"


def measured(loss=PASSES, size=SMALL, seed=0, **fields):
    return Measurement([Metric("loss", loss, seed), Metric("size", size, seed, noun="nodes")], **fields)


def judged(*measurements):
    return judge_circuits(Check(), "toy", GATES, list(enumerate(measurements)))


NOT_APPLICABLE = Measurement(not_applicable="nothing to look at")


@pytest.mark.parametrize(
    ("measurements", "verdict"),
    [
        ([PASSES, PASSES], Verdict.PASS),
        ([PASSES, OPEN], Verdict.INCONCLUSIVE),
        ([PASSES, OPEN, FAILS], Verdict.FAIL),
    ],
)
def test_the_worst_circuit_decides(measurements, verdict):
    assert judged(*map(measured, measurements)).verdict is verdict


def test_the_reason_says_of_how_many_circuits_the_verdict_holds():
    finding = judged(measured(FAILS), measured(PASSES), measured(FAILS))
    assert finding.reason.startswith("2 of 3 circuits: the loss says FAIL")


def test_a_single_circuit_is_not_counted():
    assert judged(measured()).reason.startswith("the loss says PASS")


def test_the_circuit_in_the_middle_speaks_for_those_of_its_verdict():
    losses = [Estimate(value, value - 0.05, value + 0.05, 140) for value in (0.9, 0.3, 0.5)]
    assert "0.5 [0.45, 0.55]" in judged(*map(measured, losses)).reason


def test_circuits_to_which_a_check_does_not_apply_are_left_out_of_the_verdict():
    assert judged(NOT_APPLICABLE, measured(), NOT_APPLICABLE).verdict is Verdict.PASS
    assert judged(NOT_APPLICABLE, measured(FAILS)).verdict is Verdict.FAIL
    assert judged(NOT_APPLICABLE, measured()).reason.startswith("1 of 2 circuits: ")


def test_nothing_applicable_is_never_a_pass():
    finding = judged(NOT_APPLICABLE, NOT_APPLICABLE)
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert finding.reason == "2 of 2 circuits: nothing to look at"


def test_every_gate_of_a_check_must_pass():
    finding = judged(measured(PASSES, Estimate.exact(11, 100)))
    assert finding.verdict is Verdict.FAIL
    assert finding.reason == "the size says FAIL (11, gate <= 10)"
    assert [j.verdict for j in finding.metrics] == [Verdict.PASS, Verdict.FAIL]


def test_all_metrics_of_the_deciding_verdict_are_told():
    assert judged(measured(FAILS, Estimate.exact(11, 100))).reason == (
        "the loss says FAIL (0.5 [0.4, 0.6], gate <= 0.2); the size says FAIL (11, gate <= 10)"
    )


def test_a_sentence_holds_the_interval_and_the_gate():
    assert "the loss says PASS (0.1 [0.05, 0.15], gate <= 0.2)" in judged(measured()).reason


def test_an_inconclusive_says_what_would_settle_it():
    # The upper limit is 0.04 above the value, the gate 0.01: 140 x (0.04 / 0.01)^2 = 2240 prompts, rounded up to 2300.
    assert judged(measured(OPEN)).reason == (
        "the loss says INCONCLUSIVE (0.19 [0.15, 0.23], gate <= 0.2): about 2,300 prompts would probably settle it (had 140)"  # noqa: E501
    )


def test_too_few_prompts_say_how_many_are_needed():
    few = Estimate(0.1, 0.05, 0.15, 60, 100)
    assert judged(measured(few)).reason.endswith("needs at least 100 prompts, had 60")


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"undecided": "u"}, Verdict.INCONCLUSIVE),
        ({"failed": "f"}, Verdict.FAIL),
        ({"not_applicable": "n"}, Verdict.NOT_APPLICABLE),
        ({"failed": "f", "undecided": "u"}, Verdict.FAIL),
        ({"not_applicable": "n", "failed": "f", "undecided": "u"}, Verdict.NOT_APPLICABLE),
    ],
)
@pytest.mark.parametrize("loss", [PASSES, FAILS])
def test_a_sentence_of_the_check_takes_the_place_of_the_gates_verdict(fields, verdict, loss):
    finding = judged(measured(loss, **fields))
    assert finding.verdict is verdict
    assert finding.reason == fields[min(fields, key=["not_applicable", "failed", "undecided"].index)]


def test_a_remark_is_added_whatever_the_verdict():
    assert judged(measured(remark="by the way")).reason.endswith("(by the way)")
    assert judged(Measurement(not_applicable="no", remark="by the way")).reason == "no (by the way)"


def test_reported_metrics_have_neither_gate_nor_verdict():
    measurement = Measurement([*measured().metrics, Metric("extra", None, 0), Metric("other", FAILS, 0)])
    finding = judged(measurement)
    assert finding.verdict is Verdict.PASS
    assert [(j.metric.name, j.gate, j.verdict) for j in finding.metrics[2:]] == [
        ("extra", None, None),
        ("other", None, None),
    ]


def test_a_gated_metric_without_a_number_is_refused():
    with pytest.raises(ValueError, match="loss is gated but has no estimate"):
        judged(measured(None))


def test_a_check_that_measured_none_of_its_gated_metrics_is_refused():
    with pytest.raises(ValueError, match="toy_check did not measure loss, size"):
        judged(Measurement([Metric("extra", PASSES)]))


def test_a_check_that_left_out_one_of_its_gated_metrics_does_not_pass():
    with pytest.raises(ValueError, match="size"):
        judged(Measurement([Metric("loss", PASSES)]))


def test_evidence_is_kept_by_seed():
    rows = [(seed, measured(evidence={"curve": torch.tensor([seed or 0])})) for seed in (3, 5, None)]
    finding = judge_circuits(Check(), "toy", GATES, rows)
    assert {name: int(value) for name, value in finding.evidence.items()} == {"3/curve": 3, "5/curve": 5, "curve": 0}


def test_a_summary_over_all_circuits_is_reported_last_and_not_judged():
    class Summing(Check):
        def summary(self, metrics, gates):
            return [Metric("total", Estimate.exact(sum(m.estimate.value for m in metrics if m.name == "loss"), 2))]

    finding = judge_circuits(Summing(), "toy", GATES, [(0, measured()), (1, measured(FAILS))])
    assert finding.metrics[-1].metric.estimate.value == pytest.approx(0.6)
    assert finding.metrics[-1].verdict is None


def test_a_method_is_judged_by_one_measurement():
    finding = judge_method(Check(), "toy", GATES, measured(OPEN, evidence={"curve": torch.zeros(1)}))
    assert (finding.check, finding.task, finding.verdict) == ("toy_check", "toy", Verdict.INCONCLUSIVE)
    assert finding.reason.startswith("the loss says INCONCLUSIVE")
    assert list(finding.evidence) == ["curve"]


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (None, "not reached"),
        (Estimate.exact(0.25, 1), "0.25"),
        (Estimate(0.6912, 0.68, 0.70, 512), "0.691 [0.68, 0.7]"),
    ],
)
def test_a_number_without_sampling_error_is_shown_alone(estimate, text):
    assert interval_text(Metric("loss", estimate)) == text


def test_what_was_never_reached_is_not_shown_as_a_number():
    estimate = Estimate(math.inf, math.inf, math.inf, 6, 6)
    assert interval_text(Metric("size_ratio", estimate)) == "not reached"
