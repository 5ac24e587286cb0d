"""nonsense_control: sizes written down as trials, and labels eligible on a model whose probabilities are known."""

import math
import re
from dataclasses import replace

import pytest
import torch
from fake_models import (
    LABELS,
    ONE,
    SIGN,
    TEST,
    WORDS,
    Readout,
    answers_only,
    bench_of,
    method_finding,
    metric_of,
    pronoun,
    table,
    write_task,
)

from faithcheck.check import Control, Measurement, Trial
from faithcheck.checks.nonsense_control import NonsenseControl, declared_labels, eligible_tokens
from faithcheck.circuit import Circuit
from faithcheck.cutting import Cut
from faithcheck.verdict import Verdict

CHECK = NonsenseControl()
WHEN, IS, SO, AND = (WORDS.index(word) for word in LABELS[2:])


def likely(word, p):
    """Logits under which `word` has probability p and "she" the rest."""
    return table({"she": math.log(1 - p), word: math.log(p)}, -1000.0)


def bench(tmp_path, amplitude=6.0, target=0.15, so=5e-4, is_elsewhere=0.6, texts=None):
    """A model whose text gives "when" 0.6 after "is", "is" `is_elsewhere` after "so", "so" 0.6 after "and", "and" 0.6
    after "when"; after an action the answers, "so" with `so` and "and" with 5e-3 of the answer's probability."""
    base = torch.full((len(WORDS), len(WORDS)), -1000.0, dtype=torch.float64)
    half = amplitude / 2
    base[:] = answers_only(so=half + math.log(so), **{"and": half + math.log(5e-3)})
    for before, word, p in (("is", "when", 0.6), ("so", "is", is_elsewhere), ("and", "so", 0.6), ("when", "and", 0.6)):
        base[WORDS.index(before)] = likely(word, p)
    base[0] = likely("is", 0.99)  # after padding; nothing there may count
    texts = ("is so", "and", "when") if texts is None else texts
    model = Readout([(SIGN, table(dict.fromkeys(TEST, 1.0), 1.0))], [pronoun(amplitude)], base, sample_text=texts)
    return bench_of(model, write_task(tmp_path), target=target)


def cut(size, reached=True):
    return Cut(Circuit({"0.mlp_neuron": torch.ones(size, dtype=torch.bool)}), 0.1, reached, ((size, 0.1),))


def trials(nonsense, task=10, out_of_reach=True):
    """One trial a seed; None: not reached."""
    return [
        Trial(
            Control(seed, (WHEN, IS)),
            cut(task or 40, task is not None),
            cut(size or 90, size is not None),
            out_of_reach,
        )
        for seed, size in enumerate(nonsense)
    ]


@pytest.fixture
def home(tmp_path):
    return bench(tmp_path)


class TestSizeRatio:
    def test_it_is_the_geometric_mean_over_seeds_with_a_t_interval(self, home):
        # Logs of 100/10, 200/10, ... : ratios 10 20 10 20 10 20: mean log = log(10 sqrt 2); sd = log(2) / 2 x
        # sqrt(6/5); t(5, 97.5 %) = 2.5706.
        ratio = metric_of(CHECK.measure(home, trials([100, 200] * 3)), "size_ratio")
        half = 2.5706 * math.log(2) / 2 * math.sqrt(6 / 5) / math.sqrt(6)
        assert ratio.value == pytest.approx(10 * math.sqrt(2))
        assert (ratio.low, ratio.high) == pytest.approx(
            (10 * math.sqrt(2) * math.exp(-half), 10 * math.sqrt(2) * math.exp(half)), rel=1e-4
        )
        assert ratio.n == 6

    def test_each_seed_is_compared_with_its_own_circuit(self, home):
        # Ratios 20 / 10 and 80 / 40: both 2.
        pairs = trials([20, 80] * 3)
        pairs = [replace(t, real=cut(10 if i % 2 == 0 else 40)) for i, t in enumerate(pairs)]
        ratio = metric_of(CHECK.measure(home, pairs), "size_ratio")
        assert (ratio.low, ratio.value, ratio.high) == pytest.approx((2, 2, 2))

    def test_a_method_that_needs_only_three_times_the_nodes_fails(self, home):
        # The post's own figure: 30 nodes against 10.
        finding = method_finding(CHECK, CHECK.measure(home, trials([30, 32, 28, 31, 29, 30])))
        assert finding.verdict is Verdict.FAIL
        assert "the method also finds circuits for arbitrary labels, with only 3 times as many nodes" in finding.reason

    def test_a_method_that_needs_far_more_nodes_passes(self, home):
        finding = method_finding(CHECK, CHECK.measure(home, trials([200, 220, 180, 210, 190, 200])))
        assert finding.verdict is Verdict.PASS
        assert "for arbitrary labels the method needs 20 times as many nodes" in finding.reason

    def test_controls_out_of_reach_count_as_infinite(self, home):
        finding = method_finding(CHECK, CHECK.measure(home, trials([None] * 6)))
        assert finding.verdict is Verdict.PASS
        ratio = finding.metrics[0].metric.estimate
        assert (ratio.low, ratio.value, ratio.high) == (math.inf, math.inf, math.inf)

    def test_some_out_of_reach_are_judged_by_order_statistics(self, home):
        # Six values: the interval of the median is (least, greatest) = (2, inf), so one small control leaves it open.
        finding = method_finding(CHECK, CHECK.measure(home, trials([20, None, None, None, None, None])))
        ratio = finding.metrics[0].metric.estimate
        assert (ratio.low, ratio.value, ratio.high) == (pytest.approx(2), math.inf, math.inf)
        assert finding.verdict is Verdict.INCONCLUSIVE

    def test_missed_controls_that_had_not_stopped_falling_decide_nothing(self, home):
        finding = method_finding(CHECK, CHECK.measure(home, trials([None] * 6, out_of_reach=False)))
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert finding.reason.startswith("6 nonsense extractions missed the target loss without")

    def test_a_single_undecided_control_leaves_the_check_open(self, home):
        all_reached = trials([200, 220, 180, 210, 190, 200, 205])
        pairs = [*all_reached[:6], replace(all_reached[6], contrast=cut(90, False), out_of_reach=False)]
        finding = method_finding(CHECK, CHECK.measure(home, pairs))
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert finding.reason.startswith("1 nonsense extractions missed")

    def test_out_of_reach_does_not_matter_where_a_control_was_reached(self, home):
        ratio = metric_of(CHECK.measure(home, trials([20] * 6, out_of_reach=True)), "size_ratio")
        assert ratio.value == pytest.approx(2)

    def test_fewer_than_six_seeds_do_not_pass(self, home):
        finding = method_finding(CHECK, CHECK.measure(home, trials([None] * 5)))
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert re.search("needs at least 6 seeds( to pass)?, had 5", finding.reason)

    def test_where_no_seed_found_a_circuit_of_the_task_there_is_nothing_to_compare(self, home):
        finding = method_finding(CHECK, CHECK.measure(home, trials([20] * 6, task=None)))
        assert finding.verdict is Verdict.NOT_APPLICABLE
        assert finding.reason == "the method found no circuit for the task itself"

    def test_where_some_seeds_found_no_circuit_of_the_task_the_check_is_open(self, home):
        pairs = trials([200] * 7)
        pairs[2] = replace(pairs[2], real=cut(40, False))
        finding = method_finding(CHECK, CHECK.measure(home, pairs))
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert finding.reason.startswith("1 seeds found no circuit for the task itself")
        # It counts in no ratio: six seeds of 20.
        assert (finding.metrics[0].metric.estimate.n, finding.metrics[0].metric.estimate.value) == (
            6,
            pytest.approx(20),
        )

    def test_sizes_are_reported_by_seed_and_missed_ones_have_no_number(self, home):
        measurement = CHECK.measure(home, trials([30, None]))
        sizes = {(m.name, m.seed): m.estimate and m.estimate.value for m in measurement.metrics[1:]}
        assert sizes == {
            ("task_size", 0): 10, ("nonsense_size", 0): 30, ("task_size", 1): 10, ("nonsense_size", 1): None,
        }  # fmt: skip

    def test_curves_and_labels_are_kept_by_seed(self, home):
        evidence = CHECK.measure(home, trials([30])).evidence
        assert evidence["0/labels"].tolist() == [WHEN, IS]
        assert evidence["0/nonsense"].tolist() == [[30, 0.1]]
        assert evidence["0/task"].tolist() == [[10, 0.1]]


class TestLabels:
    def test_tokens_are_eligible_that_are_unlikely_at_the_answer_and_likely_elsewhere(self, home):
        # "and" has 5e-3 at the answer, she and he are the answers, the other words are likely nowhere.
        assert eligible_tokens(home) == sorted([WHEN, IS, SO])

    @pytest.mark.parametrize(("so", "eligible"), [(9.9e-4, True), (1.02e-3, False)])
    def test_the_mean_probability_at_the_answer_must_be_below_a_thousandth(self, tmp_path, so, eligible):
        # "so" has `so` times the answer's probability, which is 1 / (1 + e^-6 + so + 5e-3) = 0.9915.
        p = so / (1 + math.exp(-6) + so + 5e-3)
        assert (p < 1e-3) is eligible
        assert (SO in eligible_tokens(bench(tmp_path, so=so))) is eligible

    @pytest.mark.parametrize(("p", "eligible"), [(0.51, True), (0.49, False)])
    def test_somewhere_in_the_models_text_it_must_be_above_a_half(self, tmp_path, p, eligible):
        assert (IS in eligible_tokens(bench(tmp_path, is_elsewhere=p))) is eligible

    def test_positions_after_the_end_of_a_text_do_not_count(self, tmp_path):
        # After padding "is" would have 0.99; the second text is shorter than the first.
        assert IS not in eligible_tokens(bench(tmp_path, texts=("is and", "is")))

    def test_the_loss_on_a_label_must_be_ten_times_the_target(self, tmp_path):
        # -ln p("so") = -ln(5e-4) + 0.008 = 7.61: ten times a target of 0.75 is less, of 0.77 more.
        assert SO in eligible_tokens(bench(tmp_path, target=0.75))
        assert SO not in eligible_tokens(bench(tmp_path, target=0.77))

    def test_declared_labels_are_in_the_order_of_the_answers_levels(self, home):
        assert declared_labels(home) == (WHEN, IS)

    def test_the_declared_labels_come_first_and_the_others_are_drawn_by_seed(self, home):
        controls = CHECK.controls(home, [4, 5, 6, 7])
        assert [control.seed for control in controls] == [4, 5, 6, 7]
        assert controls[0].answers == (WHEN, IS)
        for control in controls[1:]:
            assert set(control.answers) <= {WHEN, IS, SO}
            assert len(set(control.answers)) == 2
        # A seed's labels do not depend on the other seeds.
        assert CHECK.controls(home, [9, 6])[1] == controls[2]
        assert len({c.answers for c in CHECK.controls(home, range(1, 20))}) > 1

    def test_declared_labels_that_do_not_serve_are_replaced_and_remarked_upon(self, tmp_path):
        home = bench(tmp_path, is_elsewhere=0.4)
        controls = CHECK.controls(home, range(6))
        assert {token for control in controls for token in control.answers} <= {WHEN, SO}
        drawn = [replace(t, control=c) for t, c in zip(trials([200] * 6), controls, strict=True)]
        finding = method_finding(CHECK, CHECK.measure(home, drawn))
        assert finding.reason.endswith(
            "(the declared labels when / is are not usable on this model, drawn ones were used)"
        )

    def test_usable_declared_labels_get_no_remark(self, home):
        assert CHECK.measure(home, trials([200] * 6)).remark == ""

    def test_without_two_eligible_tokens_there_is_no_control(self, tmp_path):
        found = CHECK.controls(bench(tmp_path, texts=("is",)), range(6))
        assert isinstance(found, Measurement)
        assert method_finding(CHECK, found).verdict is Verdict.NOT_APPLICABLE

    def test_where_the_models_own_cross_entropy_misses_the_target_the_check_does_not_apply(self, tmp_path):
        # Difference 1: loss softplus(-1) = 0.313 and more > 0.15.
        found = CHECK.controls(bench(tmp_path, amplitude=1.0), range(6))
        assert isinstance(found, Measurement)
        assert found.not_applicable.startswith(
            "the model's cross-entropy over the whole vocabulary on this task is 0.31"
        )

    def test_it_is_the_full_cross_entropy_that_counts_where_the_task_uses_the_binary_one(self, tmp_path):
        # "when" has the answer's own logit: full loss ln 2 and more, binary softplus(-6).
        base = answers_only(when=3.0)
        model = Readout([(SIGN, ONE)], [pronoun(6.0)], base)
        home = bench_of(model, write_task(tmp_path), loss="binary")
        assert home.model_loss() < 0.15
        found = CHECK.controls(home, range(6))
        assert isinstance(found, Measurement)
        assert "cross-entropy over the whole vocabulary on this task is 0.69" in found.not_applicable

    def test_a_declared_label_that_the_tokenizer_does_not_know_is_replaced(self, tmp_path):
        home = bench(tmp_path)
        home.task = replace(home.task, nonsense={"female": "zebra", "male": "is"})
        assert len(CHECK.controls(home, range(6))) == 6


def test_an_undecided_control_is_not_counted_as_infinite(home):
    finding = method_finding(CHECK, CHECK.measure(home, trials([None] * 6, out_of_reach=False)))
    assert finding.metrics[0].verdict is not Verdict.PASS


def test_fewer_than_six_seeds_can_fail(home):
    # Four ratios of about 1.2: no interval that four seeds allow reaches 10.
    finding = method_finding(CHECK, CHECK.measure(home, trials([12, 12, 13, 12])))
    assert finding.verdict is Verdict.FAIL


def test_the_sentence_of_unreached_controls_says_that_no_circuit_was_found(home):
    finding = method_finding(CHECK, CHECK.measure(home, trials([None] * 6)))
    assert "finds no circuit" in finding.reason
