"""Batches in which a circuit runs without groups of nodes: what is in one, and that nothing else depends on it."""

import pytest
import torch
from fake_models import SIGN, Readout, answers_only, bench_of, pronoun, random_circuits, subject_of, write_task
from fake_models import readout_subject as subject
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faithcheck import batches
from faithcheck.effect import lost
from faithcheck.importance import group_falls, group_importance

NODES = ("0.mlp_in", 0), ("0.mlp_in", 1), ("0.mlp_neuron", 0), ("0.mlp_neuron", 1)


def two_sites(task):
    """Inputs 0 and 1, both the name's sign, each read by the neuron of its number, which move she - he by 2 and 3."""
    model = Readout(
        [(SIGN, torch.ones_like(SIGN))] * 2, [pronoun(2.0), pronoun(3.0)], answers_only(), mix=[[1, 0], [0, 1]]
    )
    return subject_of(bench_of(model, task), mlp_in=[0, 1], mlp_neuron=[0, 1])


def test_groups_are_sorted_by_their_first_site_and_else_left_in_order(tmp_path):
    late, early = [NODES[2]], [NODES[0]]
    groups = [late, early, [NODES[3]], [NODES[3], NODES[1]], []]
    assert batches.batches(two_sites(write_task(tmp_path)), groups) == [[1, 3, 0, 2, 4]]


@given(groups=st.lists(st.lists(st.sampled_from(NODES), unique=True), max_size=9), members=st.integers(1, 10))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_group_is_in_one_batch_and_no_batch_has_too_many(tmp_path, groups, members):
    about = two_sites(write_task(tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_FLOATS", members * batches._held(about) + 1)
        found = batches.batches(about, groups)
    assert sorted(place for places in found for place in places) == list(range(len(groups)))
    assert all(len(places) == members for places in found[:-1])


def test_a_member_holds_the_stream_the_widest_layer_with_its_patterns_and_the_logits(tmp_path):
    # 140 prompts of 2 words. The stream has 16 channels; a layer 7 x 16 + 24 nodes and 4 heads with 3 keys.
    restricted, masked = random_circuits(write_task(tmp_path), "live")
    logits = masked.frozen_run.logits.numel()
    nodes = 7 * 16 + 24
    assert batches._held(masked) == 280 * (16 + nodes + 4 * 3) + logits
    kept = [
        sum(int(k.sum()) for site, k in restricted.circuit.keep.items() if site.startswith(layer)) for layer in "01"
    ]
    assert batches._held(restricted) <= 280 * (16 + max(kept) + 4 * 3) + logits


def test_the_groups_of_each_batch_take_their_own_baselines(tmp_path, monkeypatch):
    # 5 in all. Neuron 1 at 0 loses 3, neuron 0 at -1 loses 4, input 1 at 0.5 loses 1.5.
    about = two_sites(write_task(tmp_path))
    shape = about.bench.prompts("test").tokens.shape
    sign = SIGN[about.bench.prompts("test").tokens[:, :1]].expand(shape)
    groups = [[NODES[3]], [NODES[2]], [NODES[1]]]
    neurons = torch.stack([torch.stack([part * sign] * 2, -1) for part in (0, -1, 7)])
    taken = {"0.mlp_neuron": neurons, "0.mlp_in": torch.stack([sign / 2] * 2, -1)[None]}
    for floats in (1, 1 << 24):
        monkeypatch.setattr(batches, "_FLOATS", floats)
        assert group_importance(about, groups, taken).mean() == pytest.approx([3, 4, 1.5])


def test_both_kinds_of_log_odds_come_from_the_same_runs(tmp_path, monkeypatch):
    about = subject(tmp_path, [1.0, 2.0])
    groups, asked = [[("0.mlp_neuron", 0)], [("0.mlp_neuron", 1)]], []
    run = about.compiled.run
    monkeypatch.setattr(about.compiled, "run", lambda *args, **given: asked.append(given) or run(*args, **given))
    assert list(group_falls(about, groups, None, ["binary", "full"])) == ["binary", "full"]
    assert len(asked) == 2  # the circuit as it is, and the batch
    lost(about, groups)
    assert len(asked) == 4  # the circuit without all of its nodes, and the batch
