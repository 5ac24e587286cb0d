"""The size ratio that nonsense_control and random_weights judge, over sizes that are written down as trials."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from control_trials import cut, nonsense, trials
from fake_models import ONE, SIGN, Readout, answers_only, bench_of, method_finding, metric_of, pronoun, write_task
from stub_shuffles import shuffling

from faithcheck.check import Control
from faithcheck.checks.nonsense_control import NonsenseControl
from faithcheck.checks.random_weights import RandomWeights
from faithcheck.size_ratio import SizeRatio
from faithcheck.verdict import Verdict


@dataclass(frozen=True)
class Kind:
    """A check of the size ratio, a control of a seed, and the words that its sentences have of their own."""

    check: SizeRatio
    control: Callable[[int], Control]
    name: str
    extractions: str
    where: str
    moral: str

    def trials(self, sizes, **options):
        return trials(sizes, self.control, **options)


KINDS = {
    "nonsense_control": Kind(
        NonsenseControl(),
        nonsense,
        "nonsense",
        "nonsense extractions",
        "for arbitrary labels",
        "that it finds a circuit says little about the model",
    ),
    "random_weights": Kind(
        RandomWeights(),
        lambda seed: Control(seed, model=shuffling()),
        "shuffled",
        "extractions from shuffled weights",
        "in a model with shuffled weights",
        "the mask, not the model, does the work",
    ),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def home(tmp_path):
    return bench_of(shuffling(), write_task(tmp_path))


@pytest.fixture
def measured(kind, home):
    """What the check measures on trials of these sizes."""
    return lambda *args, **options: kind.check.measure(home, kind.trials(*args, **options))


@pytest.fixture
def judged(kind, measured):
    """The finding of the check on trials of these sizes."""
    return lambda *args, **options: method_finding(kind.check, measured(*args, **options))


@pytest.fixture
def of_pairs(kind, home):
    """The finding of the check on trials as they are."""
    return lambda pairs: method_finding(kind.check, kind.check.measure(home, pairs))


def test_it_is_the_geometric_mean_over_seeds_with_a_t_interval(measured):
    # Logs of 100/10, 200/10, ... : ratios 10 20 10 20 10 20: mean log = log(10 sqrt 2); sd = log(2) / 2 x
    # sqrt(6/5); t(5, 97.5 %) = 2.5706.
    ratio = metric_of(measured([100, 200] * 3), "size_ratio")
    half = 2.5706 * math.log(2) / 2 * math.sqrt(6 / 5) / math.sqrt(6)
    assert ratio.value == pytest.approx(10 * math.sqrt(2))
    assert ratio.low == pytest.approx(10 * math.sqrt(2) * math.exp(-half), rel=1e-4)
    assert ratio.high == pytest.approx(10 * math.sqrt(2) * math.exp(half), rel=1e-4)
    assert ratio.n == 6


def test_each_seed_is_compared_with_its_own_circuit(kind, home):
    # Ratios 20 / 10 and 80 / 40: both 2.
    pairs = kind.trials([20, 80] * 3)
    pairs = [replace(t, real=cut(10 if i % 2 == 0 else 40)) for i, t in enumerate(pairs)]
    ratio = metric_of(kind.check.measure(home, pairs), "size_ratio")
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((2, 2, 2))


def test_a_method_that_needs_only_three_times_the_nodes_fails(kind, judged):
    # The post's own figure: 30 nodes against 10.
    finding = judged([30, 32, 28, 31, 29, 30])
    assert finding.verdict is Verdict.FAIL
    assert finding.reason.startswith(
        f"the method also finds circuits {kind.where}, with only 3 times as many nodes: {kind.moral}"
    )


def test_a_method_that_needs_far_more_nodes_passes(kind, judged):
    finding = judged([200, 220, 180, 210, 190, 200])
    assert finding.verdict is Verdict.PASS
    assert f"{kind.where} the method needs 20 times as many nodes" in finding.reason


def test_controls_out_of_reach_count_as_infinite(kind, judged):
    finding = judged([None] * 6)
    ratio = finding.metrics[0].metric.estimate
    assert (ratio.low, ratio.value, ratio.high) == (math.inf, math.inf, math.inf)
    assert finding.verdict is Verdict.PASS
    assert f"{kind.where} the method finds no circuit" in finding.reason


def test_some_out_of_reach_are_judged_by_order_statistics(judged):
    # Six values: the interval of the median is (least, greatest) = (2, inf), so one small control leaves it open.
    finding = judged([20, None, None, None, None, None])
    ratio = finding.metrics[0].metric.estimate
    assert (ratio.low, ratio.value, ratio.high) == (pytest.approx(2), math.inf, math.inf)
    assert finding.verdict is Verdict.INCONCLUSIVE


def test_missed_controls_whose_loss_had_not_flattened_decide_nothing(kind, judged):
    finding = judged([None] * 6, out_of_reach=False)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.reason.startswith(f"6 {kind.extractions} missed the target loss without the method")


def test_an_undecided_control_is_not_counted_as_infinite(judged):
    finding = judged([None] * 6, out_of_reach=False)
    assert finding.metrics[0].verdict is not Verdict.PASS
    assert "size_ratio" not in {found.metric.name for found in finding.metrics}


def test_a_single_undecided_control_leaves_the_check_open(kind, of_pairs):
    finding = of_pairs([*kind.trials([200] * 6), kind.trials([None] * 7, out_of_reach=False)[6]])
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.reason.startswith(f"1 {kind.extractions} missed")
    assert finding.metrics[0].metric.estimate.n == 6


def test_out_of_reach_does_not_matter_where_a_control_was_reached(measured):
    assert metric_of(measured([20] * 6, out_of_reach=True), "size_ratio").value == pytest.approx(2)


def test_a_control_that_needs_no_node_at_all_is_the_worst_there_is(judged):
    # Six values of -inf: the median and its order statistics are all a ratio of 0.
    finding = judged([0] * 6)
    ratio = finding.metrics[0].metric.estimate
    assert (ratio.low, ratio.value, ratio.high) == (0, 0, 0)
    assert finding.verdict is Verdict.FAIL


def test_one_of_no_node_beside_others_out_of_reach_leaves_the_check_open(judged):
    finding = judged([0, None, None, None, None, None])
    ratio = finding.metrics[0].metric.estimate
    assert (ratio.low, ratio.value) == (0, math.inf)
    assert finding.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("size", [200, None])
def test_fewer_than_six_seeds_do_not_pass(judged, size):
    finding = judged([size] * 5)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert re.search("needs at least 6 seeds( to pass)?, had 5", finding.reason)


def test_fewer_than_six_seeds_can_fail(judged):
    # Four ratios of about 1.2: no interval that four seeds allow reaches 10.
    assert judged([12, 12, 13, 12]).verdict is Verdict.FAIL


def test_where_no_seed_found_a_circuit_of_the_task_there_is_nothing_to_compare(judged):
    finding = judged([20] * 6, task=None)
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert finding.reason == "the method found no circuit for the task itself"


@pytest.mark.parametrize("real", [cut(40, False), cut(0)], ids=["not reached", "of no node"])
def test_where_some_seeds_found_no_circuit_of_the_task_the_check_is_open(kind, of_pairs, real):
    pairs = kind.trials([200] * 7)
    pairs[2] = replace(pairs[2], real=real)
    finding = of_pairs(pairs)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.reason.startswith("1 seeds found no circuit for the task itself")
    # It counts in no ratio: six seeds of 20.
    ratio = finding.metrics[0].metric.estimate
    assert (ratio.n, ratio.value) == (6, pytest.approx(20))


def test_sizes_and_curves_are_kept_by_seed_and_missed_sizes_have_no_number(kind, measured):
    measurement, name = measured([30, None]), kind.name
    sizes = {(m.name, m.seed): m.estimate and m.estimate.value for m in measurement.metrics[1:]}
    assert sizes == {
        ("task_size", 0): 10, (f"{name}_size", 0): 30, ("task_size", 1): 10, (f"{name}_size", 1): None,
    }  # fmt: skip
    curves = {key: curve.tolist() for key, curve in measurement.evidence.items() if not key.endswith("/labels")}
    assert curves == {
        "0/task": [[10, 0.1]], f"0/{name}": [[30, 0.1]], "1/task": [[10, 0.1]], f"1/{name}": [[90, 0.1]],
    }  # fmt: skip


def test_nothing_applies_where_the_models_loss_over_the_whole_vocabulary_is_no_number(kind, tmp_path):
    # The binary loss does not look at "when".
    model = Readout([(SIGN, ONE)], [pronoun(6.0)], answers_only(when=math.nan))
    home = bench_of(model, write_task(tmp_path), loss="binary")
    assert home.model_loss() < 0.15
    drawn = kind.check.controls(home, [0, 1])
    assert "cross-entropy over the whole vocabulary on this task is nan nats" in drawn.not_applicable
