"""Query heads that share keys and values, worked out by hand on a model of two query heads a head of values.

A score is q x k: q is 1, k is log 18 for a name and log 2 for another word; sinks have log 4. At the answer a head's
pattern over (name, action, sink) is (18, 2, 4) / 24, and (1, 1, 4) / 6 where its q node is off: 7/12 apart.
"""

import math

import pytest
import torch
from fake_models import (
    SIGN,
    TEN_FEMALE,
    TEN_MALE,
    Attention,
    bench_of,
    finding_of,
    metric_of,
    pronoun,
    subject_of,
    table,
    write_large_task,
)

from faithcheck.checks.attention_agreement import AttentionAgreement, Head, looks_elsewhere, used_heads
from faithcheck.heads import SHARED, group_size, query_heads
from faithcheck.model import Site
from faithcheck.verdict import Verdict

CHECK = AttentionAgreement()
KEYS = table(dict.fromkeys([*TEN_FEMALE, *TEN_MALE], math.log(18)), math.log(2))
APART = 7 / 12


class Grouped(Attention):
    """Two query heads a head of keys and values; query head h moves the logit difference by amplitudes[h] x its
    attention to the name."""

    def __init__(self, amplitudes):
        heads = len(amplitudes)
        out, read = torch.eye(heads).tolist(), [pronoun(a) for a in amplitudes]
        super().__init__([KEYS] * heads, [SIGN] * heads, [math.log(4)] * heads, out, read)
        shared = torch.arange(heads // 2)
        for kind in "kv":
            self.sites[f"0.attn_{kind}"] = Site(heads // 2, 0, f"attn_{kind}", shared)

    def _key(self, tokens):
        return self._at_site("0.attn_k", self.scores[tokens][None, ..., ::2]).repeat_interleave(2, -1)

    def _at_site(self, site, value):
        if site == "0.attn_v":
            return super()._at_site(site, value[..., ::2]).repeat_interleave(2, -1)
        return super()._at_site(site, value)


def subject(tmp_path, amplitudes, **keep):
    return subject_of(bench_of(Grouped(amplitudes), write_large_task(tmp_path)), **keep)


def test_query_heads_that_share_values_lie_side_by_side():
    assert query_heads([0, 2], 3) == [0, 1, 2, 6, 7, 8]
    assert query_heads([1, 3], 1) == [1, 3]
    assert query_heads([], 4) == []


def test_the_size_of_a_group_is_that_of_the_models_heads():
    assert group_size(Grouped([1.0] * 6), 0) == 2
    one = Grouped([1.0] * 6)
    one.sites["0.attn_q"] = Site(6, 0, "attn_q", torch.tensor([0, 0, 1, 1, 2, 2]))
    assert group_size(one, 0) == 1
    one.sites["0.attn_q"] = Site(6, 0, "attn_q", torch.tensor([0, 0, 1, 1, 2, 3]))
    with pytest.raises(ValueError, match="4 query heads cannot share 3 heads of values evenly"):
        group_size(one, 0)
    assert group_size(one, 1) == 1


def test_a_circuits_patterns_are_those_of_the_query_heads_that_read_its_values(tmp_path):
    circuit = subject(tmp_path, [6.0, 6.0, 6.0, 6.0], attn_q=[0, 2], attn_k=[1], attn_v=[1], attn_out=[2, 3])
    assert used_heads(circuit) == {(0, 1): [("0.attn_v", 1)]}
    measurement = CHECK.measure(circuit)
    assert measurement.evidence["head"].tolist() == [[0, 2], [0, 3]]
    sharp, even = [18 / 24, 2 / 24, 4 / 24], [1 / 6, 1 / 6, 4 / 6]
    for head, expected in ((2, sharp), (3, even)):
        assert measurement.evidence[f"pattern/0.{head}/circuit"][0, 1].tolist() == pytest.approx(expected)
        assert measurement.evidence[f"pattern/0.{head}/model"][0, 1].tolist() == pytest.approx(sharp)
    assert measurement.evidence["total_variation"].mean(1).tolist() == pytest.approx([0, APART])


def test_where_all_query_heads_look_as_in_the_model_the_check_passes(tmp_path):
    circuit = subject(tmp_path, [6.0, 0.0], attn_q=[0, 1], attn_k=[0], attn_v=[0], attn_out=[0, 1])
    finding = finding_of(CHECK, circuit)
    assert finding.verdict is Verdict.PASS
    assert [(j.metric.estimate.low, j.metric.estimate.high) for j in finding.metrics] == [(0, 0)] * 3


@pytest.mark.parametrize("amplitudes", [[30.0, 0.0], [0.0, 30.0], [15.0, 15.0]])
def test_where_none_does_it_fails_whichever_of_them_matters(tmp_path, amplitudes):
    finding = finding_of(CHECK, subject(tmp_path, amplitudes, attn_v=[0], attn_out=[0, 1]))
    assert [j.verdict for j in finding.metrics] == [Verdict.FAIL] * 3
    assert [j.metric.estimate.value for j in finding.metrics] == pytest.approx([APART, 1, 1])


@pytest.mark.parametrize("amplitudes", [[30.0, 0.0], [0.0, 30.0]])
def test_where_one_does_and_one_does_not_it_cannot_tell_which_of_them_matters(tmp_path, amplitudes):
    # The circuit keeps query head 0's q node alone. What it is worth depends on the amplitudes, which no mask can
    # tell apart: the values are shared.
    circuit = subject(tmp_path, amplitudes, attn_q=[0], attn_k=[0], attn_v=[0], attn_out=[0, 1])
    finding = finding_of(CHECK, circuit)
    by_name = {j.metric.name: j for j in finding.metrics}
    tv = by_name["pattern_tv"].metric.estimate
    assert (tv.low, tv.value, tv.high) == pytest.approx((0, APART / 2, APART))
    for name in ("absent_heads", "elsewhere_effect"):
        estimate = by_name[name].metric.estimate
        assert (estimate.low, estimate.high) == pytest.approx((0, 1))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert SHARED in finding.reason


def test_heads_of_values_are_weighted_by_their_importance_not_by_their_query_heads(tmp_path):
    # All even: values 0 are missed by 6/6 + 0, values 1 by 6/6 + 12/6.
    circuit = subject(tmp_path, [6.0, 0.0, 6.0, 12.0], attn_v=[0, 1], attn_out=[0, 1, 2, 3])
    measurement = CHECK.measure(circuit)
    assert measurement.evidence["importance"].tolist() == pytest.approx([1, 1, 3, 3])
    assert measurement.evidence["shares_values"].tolist() == [0, 0, 1, 1]
    assert metric_of(measurement, "pattern_tv").value == pytest.approx(APART)
    one = subject(tmp_path, [6.0, 0.0, 6.0, 12.0], attn_q=[0, 1], attn_k=[0], attn_v=[0, 1], attn_out=[0, 1, 2, 3])
    # Query heads 0 and 1 look as in the model: values 0 are missed by 6 x 18/24 = 4.5, values 1 by 3 as before.
    assert metric_of(CHECK.measure(one), "pattern_tv").value == pytest.approx(3 / 7.5 * APART)


def test_how_the_distances_of_a_group_are_read():
    near, far = (Head(0, head, torch.full((2,), d), torch.zeros(2)) for head, d in ((0, 0.0), (1, 0.5)))
    assert looks_elsewhere(near, far)
    assert not looks_elsewhere(near, far, of="min")
    assert looks_elsewhere(near, far, of="max")
    assert not looks_elsewhere(near, of="max")
