"""attention_agreement: patterns over two keys and a sink, worked out by hand.

The prompts are "name action". A head's score is log 18 (or what a test says) for a name and log 2 for an action; its
sink has log 4: at the action the pattern over (name, action, sink) is (18, 2, 4) / 24. Without its q or k node both
scores are 0 and the pattern is (1, 1, 4) / 6. Values are the name's sign and 0 for actions.
"""

import math

import pytest
import torch
from fake_models import (
    ONE,
    SIGN,
    TEN_FEMALE,
    TEN_MALE,
    TEST,
    Attention,
    Keyed,
    Readout,
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
from faithcheck.checks.attention_agreement import (
    AttentionAgreement,
    Head,
    looks_elsewhere,
    on_words,
    total_variation,
    used_heads,
)
from faithcheck.estimate import Estimate
from faithcheck.subject import Subject
from faithcheck.thresholds import NO_EFFECT
from faithcheck.verdict import Verdict

CHECK = AttentionAgreement()
NAMES = [*TEN_FEMALE, *TEN_MALE]
SHARP_TV = (18 / 24 - 1 / 6 + (1 / 6 - 2 / 24) + (4 / 6 - 4 / 24)) / 2  # 0.5833
MILD_TV = (6 / 12 - 1 / 6 + (1 / 6 - 2 / 12) + (4 / 6 - 4 / 12)) / 2  # 1/3: (6, 2, 4) / 12 against (1, 1, 4) / 6


def scores(weight):
    """exp(score) is `weight` for a name and 2 for any other token."""
    return table(dict.fromkeys(NAMES, math.log(weight)), math.log(2))


def model(weights=(18, 18), amplitudes=(30.0, 30.0), sink=4.0):
    """One head a weight; head h moves the logit difference by amplitude x its attention to the name."""
    heads = len(weights)
    return Attention(
        [scores(w) for w in weights],
        [SIGN] * heads,
        [math.log(sink)] * heads,
        torch.eye(heads).tolist(),
        [pronoun(a) for a in amplitudes],
    )


def bench(tmp_path, *args, **kwargs):
    return bench_of(model(*args, **kwargs), write_large_task(tmp_path))


def test_total_variation_counts_the_sink_as_a_column(tmp_path):
    # (|18/24 - 1/6| + |2/24 - 1/6| + |4/24 - 4/6|) / 2 = 7/12; without the sink's column it would be 1/3.
    subject = subject_of(bench(tmp_path, (18,), (30.0,)), attn_v=[0], attn_out=[0])
    measurement = CHECK.measure(subject)
    assert metric_of(measurement, "pattern_tv").value == pytest.approx(7 / 12) == pytest.approx(SHARP_TV)
    assert measurement.evidence["total_variation"].flatten().tolist() == pytest.approx([7 / 12] * 200)
    assert measurement.evidence["pattern/0.0/circuit"][0, 1].tolist() == pytest.approx([1 / 6, 1 / 6, 4 / 6])
    assert measurement.evidence["pattern/0.0/model"][0, 1].tolist() == pytest.approx([18 / 24, 2 / 24, 4 / 24])


def test_only_the_answers_row_counts_in_the_last_layer(tmp_path):
    # At the name itself the head sees the name and the sink: (18, 4) / 22 against (1, 4) / 5, total variation 0.618.
    measurement = CHECK.measure(subject_of(bench(tmp_path, (18,), (30.0,)), attn_v=[0], attn_out=[0]))
    assert metric_of(measurement, "pattern_tv").value != pytest.approx(18 / 22 - 1 / 5, abs=0.01)


def test_heads_are_weighted_by_their_importance(tmp_path):
    # In the circuit (no q, no k) a head attends 1/6 to the name: differences of 6/6 = 1 and 12/6 = 2, which are missed
    # without it. (1 x 7/12 + 2 x 1/3) / 3 = 5/12.
    home = bench(tmp_path, (18, 6), (6.0, 12.0))
    measurement = CHECK.measure(subject_of(home, attn_v=[0, 1], attn_out=[0, 1]))
    assert measurement.evidence["importance"].tolist() == pytest.approx([1, 2])
    assert metric_of(measurement, "pattern_tv").value == pytest.approx(5 / 12)


def test_a_head_that_is_uniform_in_the_circuit_and_looks_at_the_name_in_the_model_is_absent(tmp_path):
    # The post's case: value nodes alone, 30 / 6 = 5 of logit difference, loss 0.007. Without the sink the model's
    # pattern is (0.9, 0.1) and the circuit's uniform: 0.4 apart, above 0.3.
    subject = subject_of(bench(tmp_path, (18,), (30.0,)), attn_v=[0], attn_out=[0])
    finding = finding_of(CHECK, subject)
    assert subject.reached
    assert metric_of(CHECK.measure(subject), "absent_heads").value == 1
    assert [j.metric.name for j in finding.metrics] == ["pattern_tv", "absent_heads", "elsewhere_effect"]
    assert [j.metric.estimate.value for j in finding.metrics] == pytest.approx([7 / 12, 1, 1])
    assert [j.verdict for j in finding.metrics] == [Verdict.FAIL] * 3
    assert finding.verdict is Verdict.FAIL
    assert "1 head that matters looks elsewhere in the circuit than in the model" in finding.reason
    assert "100% of the circuit's effect on the answer goes through heads that look elsewhere" in finding.reason


def test_a_head_that_looks_at_another_word_than_in_the_model_is_absent(tmp_path):
    # Key parts: log `name` for a name, log `action` for an action; the circuit lacks the first. On words (9, 3) / 12
    # against (1, 3) / 4 is 0.5 apart, although neither is more than 0.25 from uniform. (3, 1) / 4 against (1, 1) / 2 is
    # 0.25 apart, and (1.5, 3) / 4.5 against (1, 3) / 4 0.08, with the same word first.
    def absent(name, action):
        parts = [table(dict.fromkeys(NAMES, math.log(name))), table(dict.fromkeys(TEST, math.log(action)))]
        home = bench_of(Keyed(parts, SIGN, 0.0, 30.0), write_large_task(tmp_path))
        kept = {"attn_q": [0], "attn_k": [0], "attn_v": [0], "attn_out": [0]}
        return metric_of(CHECK.measure(subject_of(home, attn_in=[1], **kept)), "absent_heads").value

    assert absent(9, 3) == 1
    assert absent(3, 1) == 0
    assert absent(1.5, 3) == 0


def test_a_head_that_is_uniform_in_the_model_and_looks_at_the_name_in_the_circuit_is_absent_too(tmp_path):
    # Key parts of a name: log 18 and -log 18. The circuit lacks the second: (18, 1, 4) / 23 against (1, 1, 4) / 6, on
    # words (18, 1) / 19 against (0.5, 0.5), 0.45 apart.
    parts = [table(dict.fromkeys(NAMES, sign * math.log(18))) for sign in (1, -1)]
    home = bench_of(Keyed(parts, SIGN, math.log(4), 30.0), write_large_task(tmp_path))
    kept = {"attn_q": [0], "attn_k": [0], "attn_v": [0], "attn_out": [0]}
    measurement = CHECK.measure(subject_of(home, attn_in=[0], **kept))
    assert metric_of(measurement, "absent_heads").value == 1
    assert metric_of(measurement, "elsewhere_effect").value == pytest.approx(1)
    assert metric_of(CHECK.measure(subject_of(home, attn_in=[0, 1], **kept)), "absent_heads").value == 0


@pytest.mark.parametrize("kept", [{"attn_q": [0]}, {"attn_k": [0]}])
def test_queries_without_keys_or_keys_without_queries_look_nowhere(tmp_path, kept):
    measurement = CHECK.measure(subject_of(bench(tmp_path, (18,), (30.0,)), attn_v=[0], attn_out=[0], **kept))
    assert metric_of(measurement, "absent_heads").value == 1


def test_a_head_that_looks_the_same_in_both_passes(tmp_path):
    finding = finding_of(
        CHECK, subject_of(bench(tmp_path, (18,), (6.0,)), attn_q=[0], attn_k=[0], attn_v=[0], attn_out=[0])
    )
    assert finding.verdict is Verdict.PASS
    assert [j.metric.estimate.value for j in finding.metrics] == [0.0, 0.0, 0.0]


def test_the_whole_model_passes(tmp_path):
    # Differences of 2 x 0.75 a head: 1.5 nats fewer without one.
    home = bench(tmp_path, (18, 18), (2.0, 2.0))
    finding = finding_of(CHECK, Subject(home, whole(home.model)))
    assert finding.verdict is Verdict.PASS


def test_a_head_that_is_near_the_models_on_words_is_not_absent(tmp_path):
    # (6, 2, 4) / 12: without the sink (0.75, 0.25), 0.25 from the circuit's uniform.
    measurement = CHECK.measure(subject_of(bench(tmp_path, (6,), (30.0,)), attn_v=[0], attn_out=[0]))
    assert metric_of(measurement, "absent_heads").value == 0
    assert metric_of(measurement, "pattern_tv").value == pytest.approx(MILD_TV)


@pytest.mark.parametrize(("difference", "absent"), [(0.06, 1), (0.05, 0)])
def test_a_head_with_a_twentieth_of_the_importance_or_less_is_not_counted(tmp_path, difference, absent):
    # Head 0 is whole and gives 1; head 1 is uniform and gives 0.06 or 0.05: 0.06 / 1.06 = 5.7 % or 0.05 / 1.05 = 4.8 %.
    home = bench(tmp_path, (18, 18), (1 / 0.75, 6 * difference))
    measurement = CHECK.measure(subject_of(home, attn_q=[0], attn_k=[0], attn_v=[0, 1], attn_out=[0, 1]))
    assert measurement.evidence["importance"].tolist() == pytest.approx([1, difference])
    assert metric_of(measurement, "absent_heads").value == absent


@pytest.mark.parametrize(("difference", "verdict"), [(0.24, Verdict.PASS), (0.26, Verdict.FAIL)])
def test_up_to_a_fifth_of_the_effect_may_go_through_heads_that_look_elsewhere(tmp_path, difference, verdict):
    # Head 0 is whole and gives 1, head 1 is uniform, 1/3 from the model, but on words 0.25, so that it is not absent.
    # 0.24 / 1.24 = 19.4 %, 0.26 / 1.26 = 20.6 %.
    home = bench(tmp_path, (18, 6), (1 / 0.75, 6 * difference))
    finding = finding_of(CHECK, subject_of(home, attn_q=[0], attn_k=[0], attn_v=[0, 1], attn_out=[0, 1]))
    share = difference / (1 + difference)
    assert [j.metric.estimate.value for j in finding.metrics] == pytest.approx([share * MILD_TV, 0, share])
    assert finding.verdict is verdict


def test_heads_that_look_elsewhere_are_left_out_together(tmp_path):
    # Head 0 is whole and gives 1; heads 1 and 2 are uniform, 0.5 and -0.3: without both 1.2 falls by 0.2.
    home = bench(tmp_path, (18, 6, 6), (1 / 0.75, 6 * 0.5, 6 * -0.3))
    measurement = CHECK.measure(subject_of(home, attn_q=[0], attn_k=[0], attn_v=[0, 1, 2], attn_out=[0, 1, 2]))
    assert measurement.evidence["importance"].tolist() == pytest.approx([1, 0.5, 0])
    assert metric_of(measurement, "elsewhere_effect").value == pytest.approx(0.2 / 1.2)


@pytest.mark.parametrize(
    ("distance", "on_words", "elsewhere"),
    [
        (0.19, 0.0, False),
        (0.21, 0.0, True),
        (0.0, 0.31, True),
        (0.0, 0.29, False),
        (0.19, 0.29, False),
    ],
)
def test_where_a_head_looks_elsewhere(distance, on_words, elsewhere):
    # Means over two prompts.
    rows = (torch.tensor([x - 0.05 if x else x, x + 0.05 if x else x]) for x in (distance, on_words))
    assert looks_elsewhere(Head(0, 0, *rows)) is elsewhere


def test_heads_that_are_missed_one_by_one_but_not_together_decide_nothing(tmp_path):
    # Both uniform: 1 and -1. Without head 0 the log-odds fall by 1, without both by 0.
    home = bench(tmp_path, (18, 18), (6.0, -6.0))
    finding = finding_of(CHECK, subject_of(home, attn_v=[0, 1], attn_out=[0, 1]))
    assert finding.evidence["0/importance"].tolist() == pytest.approx([1, 0])
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert NO_EFFECT in finding.reason


def test_a_circuit_without_value_nodes_has_no_attention_to_compare(tmp_path):
    finding = finding_of(CHECK, subject_of(bench(tmp_path), attn_q=[0], attn_k=[0], attn_out=[0]))
    assert finding.verdict is Verdict.NOT_APPLICABLE


def test_a_model_without_attention_has_nothing_to_compare(tmp_path):
    home = bench_of(Readout([(SIGN, ONE)], [pronoun(6.0)]), write_large_task(tmp_path))
    assert finding_of(CHECK, subject_of(home, mlp_neuron=[0])).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(("difference", "decided"), [(0.051, True), (0.049, False)])
def test_heads_that_hardly_change_the_answer_decide_nothing(tmp_path, difference, decided):
    home = bench(tmp_path, (18,), (6 * difference,))
    finding = finding_of(CHECK, subject_of(home, attn_v=[0], attn_out=[0]))
    assert float(finding.evidence["0/importance"].sum()) == pytest.approx(difference)
    assert (finding.verdict is not Verdict.INCONCLUSIVE) is decided
    assert (f"lowers the answer's log-odds by {difference} nats in all, too little" in finding.reason) is not decided


def test_a_head_is_used_where_a_value_node_of_it_is_kept(tmp_path):
    subject = subject_of(bench(tmp_path, (18, 18, 18), (1.0, 1.0, 1.0)), attn_q=[0, 1, 2], attn_v=[0, 2])
    assert used_heads(subject) == {(0, 0): [("0.attn_v", 0)], (0, 2): [("0.attn_v", 2)]}


EVEN, ON_THE_NAME, NOWHERE = (0.5, 0.5, 0.0, 0.0), (0.9, 0.1, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("circuit", "model", "distance"),
    [
        (EVEN, (0.1, 0.1, 0.0, 0.8), 0.0),  # the sink's share is taken out
        (ON_THE_NAME, (0.18, 0.02, 0.0, 0.8), 0.0),
        (ON_THE_NAME, (0.1, 0.1, 0.0, 0.8), 0.4),
        (EVEN, (0.18, 0.02, 0.0, 0.8), 0.4),
        ((1.0, 0.0, 0.0, 0.0), (0.0, 0.1, 0.0, 0.9), 1.0),
        (NOWHERE, EVEN, 0.0),  # all on the sink: uniform over the two visible keys
        (NOWHERE, ON_THE_NAME, 0.4),
    ],
)
def test_the_distance_on_words_is_that_of_the_patterns_without_their_sinks(circuit, model, distance):
    # Query 1 of 3 sees keys 0 and 1.
    words = []
    for row in (circuit, model):
        pattern = torch.zeros(3, 4, dtype=torch.float64)
        pattern[0, 0] = 1
        pattern[1] = torch.tensor(row, dtype=torch.float64)
        pattern[2, :3] = 1 / 3
        words.append(on_words(pattern))
    assert torch.stack(words).sum(-1).flatten().tolist() == pytest.approx([1] * 6)
    assert total_variation(*words).tolist() == pytest.approx([0.0, distance, 0.0])


def test_total_variation_is_half_the_sum_of_absolute_differences():
    one, other = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]]), torch.tensor([[0.2, 0.3, 0.5], [0.0, 0.0, 1.0]])
    assert total_variation(one, other).tolist() == pytest.approx([0.3, 1.0])


def test_the_second_head_alone_is_compared_with_itself(tmp_path):
    # Head 1 complete, head 0 not in the circuit: the patterns are equal, 0.
    home = bench(tmp_path, (6, 18), (30.0, 30.0))
    subject = subject_of(home, attn_q=[1], attn_k=[1], attn_v=[1], attn_out=[1])
    assert metric_of(CHECK.measure(subject), "pattern_tv").value == 0.0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1, "1 head that matters looks elsewhere in the circuit than in the model"),
        (2, "2 heads that matter look elsewhere in the circuit than in the model"),
    ],
)
def test_one_of_the_heads_that_matter_is_spoken_of_in_the_singular(value, said):
    assert AttentionAgreement().sentence(Metric("absent_heads", Estimate.exact(value, 1)), Verdict.FAIL) == said
