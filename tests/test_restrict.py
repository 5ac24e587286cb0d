"""`restrict(keep)` is the model masked to `keep`: same logits, same captured values, same gradients, fewer nodes."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_models import VARIANTS, random_keep, random_prompts, small_model

from faithcheck.ablation import Ablation
from faithcheck.slots import slots

seeds = st.integers(0, 2**20)
few = settings(max_examples=5, deadline=None)
every_variant = pytest.mark.parametrize("variant", VARIANTS)
member_counts = st.sampled_from([None, 2, 3])
KEEPS = {"empty": (0.0,), "all on": (1.0,), "half": (0.5,), "mixed": (0.0, 0.2, 0.6, 1.0), "sparse": (0.0, 0.1)}
kinds = st.sampled_from(sorted(KEEPS))


def close(found, expected):
    assert found.shape == expected.shape
    if expected.numel():
        assert (found - expected).abs().max() <= 1e-10 * max(1.0, float(expected.abs().max()))


def as_masks(keep):
    return {site: torch.atleast_2d(kept).double() for site, kept in keep.items()}


def placed(keep):
    """{site: (the node in each slot, whether one is there)}, [member, slot]."""
    return {site: slots(torch.atleast_2d(kept)) for site, kept in keep.items()}


def over_nodes(value, index, filled, size):
    """A value over slots, [..., slot] of [member, prompt, pos, slot], as one over nodes, 0 where no slot is."""
    wide = value.new_zeros(*value.shape[:-1], size + 1)
    where = torch.where(filled, index, size)[:, None, None, :].expand(value.shape)
    return wide.scatter(-1, where, value)[..., :size]


def random_levers(model, seed, members):
    """Masks and baselines [member, prompt, pos, slot] over a restricted model's slots, with 3 prompts of 5 tokens."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {site: (members or 1, 3, 5, at.size) for site, at in model.sites.items()}
    draw = [
        {site: torch.rand(shape, generator=generator, dtype=torch.float64) for site, shape in shapes.items()}
        for _ in range(2)
    ]
    return draw[0], draw[1]


@every_variant
@given(seed=seeds, members=member_counts, kind=kinds, frozen=st.booleans(), whole=st.booleans())
@example(seed=0, members=None, kind="empty", frozen=False, whole=False)
@example(seed=0, members=2, kind="empty", frozen=True, whole=True)
@example(seed=0, members=2, kind="all on", frozen=False, whole=False)
@few
def test_the_restricted_model_gives_the_logits_of_the_masked_one(variant, seed, members, kind, frozen, whole):
    model = small_model(variant, seed % 7)
    tokens, positions = random_prompts(model, seed)
    keep = random_keep(model, seed, members, KEEPS[kind])
    scales = model.run(tokens, capture=model.norms).captured if frozen else None
    levers = {"positions": None if whole else positions, "norm_scales": scales}
    found = model.restrict(keep, Ablation()).run(tokens, **levers).logits
    close(found, model.run(tokens, masks=as_masks(keep), **levers).logits)


@every_variant
@given(seed=seeds, members=member_counts, whole=st.booleans())
@few
def test_masks_and_baselines_over_slots_are_masks_and_baselines_over_the_kept_nodes(variant, seed, members, whole):
    model = small_model(variant, seed % 7)
    tokens, positions = random_prompts(model, seed)
    keep = random_keep(model, seed, members)
    restricted = model.restrict(keep, Ablation())
    masks, baselines = random_levers(restricted, seed, members)
    where = None if whole else positions
    found = restricted.run(tokens, positions=where, masks=masks, baselines=baselines).logits
    wide = [
        {site: over_nodes(p[site], *placed(keep)[site], at.size) for site, at in model.sites.items()}
        for p in (masks, baselines)
    ]
    close(found, model.run(tokens, positions=where, masks=wide[0], baselines=wide[1]).logits)


@pytest.mark.parametrize("variant", ["plain", "top-k"])
def test_several_masks_run_on_one_restricted_circuit(variant):
    model = small_model(variant)
    tokens, positions = random_prompts(model)
    keep = random_keep(model, 3, shares=(0.5,))
    restricted = model.restrict(keep, Ablation())
    masks = {site: torch.rand(4, at.size, dtype=torch.float64) for site, at in restricted.sites.items()}
    together = restricted.run(tokens, positions=positions, masks=masks).logits
    for member in range(4):
        own = {site: mask[member : member + 1] for site, mask in masks.items()}
        close(together[member : member + 1], restricted.run(tokens, positions=positions, masks=own).logits)


@every_variant
@given(seed=seeds, members=member_counts, kind=kinds, narrow=st.booleans())
@few
def test_its_sites_hold_the_kept_nodes_in_the_whole_models_order(variant, seed, members, kind, narrow):
    model = small_model(variant, seed % 7)
    tokens, positions = random_prompts(model, seed)
    keep = random_keep(model, seed, members, KEEPS[kind])
    restricted = model.restrict(keep, Ablation())
    capture = [*model.sites, *model.norms]
    levers = {"positions": positions if narrow else None, "capture": capture}
    found, whole = restricted.run(tokens, **levers), model.run(tokens, masks=as_masks(keep), **levers)
    for name in model.norms:
        close(found.captured[name].expand(members or 1, -1, -1), whole.captured[name].expand(members or 1, -1, -1))
    for site, kept in keep.items():
        kept = torch.atleast_2d(kept)
        assert restricted.sites[site].size == int(kept.sum(1).max())
        for member, row in enumerate(kept):
            values, nodes = (run.captured[site] for run in (found, whole))
            slot_values = values[member if len(values) > 1 else 0][..., : int(row.sum())]
            close(slot_values, nodes[member if len(nodes) > 1 else 0][..., row])


@every_variant
@given(seed=seeds, members=member_counts)
@few
def test_it_computes_the_patterns_of_the_heads_with_a_kept_value_node(variant, seed, members):
    model = small_model(variant, seed % 7)
    tokens, _ = random_prompts(model, seed)
    keep = random_keep(model, seed, members, shares=(0.0, 0.1, 0.4))
    names = [f"{layer}.attn_pattern" for layer in range(model.config.layers)]
    found = model.restrict(keep, Ablation()).run(tokens, capture=names).captured
    whole = model.run(tokens, masks=as_masks(keep), capture=names).captured
    for layer, name in enumerate(names):
        valued = torch.atleast_2d(keep[f"{layer}.attn_v"])
        heads = [model.sites[f"{layer}.attn_v"].head[row].unique() for row in valued]
        assert found[name].shape[2] == max(map(len, heads))
        for member, own in enumerate(heads):
            patterns, every = (run[name][member if len(run[name]) > 1 else 0] for run in (found, whole))
            close(patterns[:, : len(own)], every[:, own])


def test_its_sites_know_their_layer_kind_and_heads():
    model = small_model()
    keep = random_keep(model, 5, shares=(0.5,))
    for name, site in model.restrict(keep, Ablation()).sites.items():
        assert (site.layer, site.kind) == (model.sites[name].layer, model.sites[name].kind)
        if model.sites[name].head is not None:
            assert torch.equal(site.head, model.sites[name].head[keep[name]])


@every_variant
@given(seed=seeds)
@few
def test_edges_are_the_nonzero_weights_between_kept_nodes(variant, seed):
    model = small_model(variant, seed % 7)
    keep = random_keep(model, seed)
    reads = {"attn_q": "attn_in", "attn_k": "attn_in", "attn_v": "attn_in"}
    reads |= {"attn_out": "attn_v", "mlp_neuron": "mlp_in", "mlp_out": "mlp_neuron"}
    edges = 0
    for layer in range(model.config.layers):
        for kind, source in reads.items():
            weight = model.network.tensors[f"{layer}.{kind}.weight"].tolist()
            rows, columns = keep[f"{layer}.{kind}"].tolist(), keep[f"{layer}.{source}"].tolist()
            for row, row_kept in zip(weight, rows, strict=True):
                for entry, column_kept in zip(row, columns, strict=True):
                    edges += bool(row_kept and column_kept and entry)
    assert model.count_edges(keep) == edges


@every_variant
@given(seed=seeds, members=member_counts)
@example(seed=191, members=None)  # a layer without a kept value: its queries and keys reach nothing
@few
def test_a_trainable_one_has_the_masked_models_gradients_at_the_kept_nodes(variant, seed, members):
    model = small_model(variant, seed % 7)
    tokens, positions = random_prompts(model, seed)
    keep = random_keep(model, seed, members, shares=(0.3, 0.8))
    masks = {site: mask.requires_grad_() for site, mask in as_masks(keep).items()}
    expected = gradients(model.run(tokens, positions=positions, masks=masks), masks)
    restricted = model.restrict(keep, Ablation(), trainable=True)
    shapes = {site: (members or 1, at.size) for site, at in restricted.sites.items()}
    small = {site: torch.ones(shape, dtype=torch.float64, requires_grad=True) for site, shape in shapes.items()}
    found = gradients(restricted.run(tokens, positions=positions, masks=small), small)
    for site, (index, filled) in placed(keep).items():
        close(found[site][filled], expected[site].gather(1, index)[filled])
        assert not found[site][~filled].any()


def gradients(run, masks):
    """By site, 0 where the logits do not depend on the mask at all."""
    loss = run.logits.square().sum()
    found = torch.autograd.grad(loss, list(masks.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(masks, found, strict=True))


def test_one_that_is_not_trainable_leaves_no_graph():
    model = small_model()
    keep = random_keep(model, shares=(0.5,))
    tokens, _ = random_prompts(model)
    masks = {"0.attn_q": torch.ones(1, int(keep["0.attn_q"].sum()), requires_grad=True)}
    graphs = [
        model.restrict(keep, Ablation(), trainable).run(tokens, masks=masks, capture=["0.attn_out"])
        for trainable in (True, False)
    ]
    assert [run.logits.requires_grad for run in graphs] == [True, False]
    assert [run.captured["0.attn_out"].requires_grad for run in graphs] == [True, False]


def test_restricting_leaves_the_model_as_it_was():
    model = small_model()
    before = {name: tensor.clone() for name, tensor in model.network.tensors.items()}
    model.restrict(random_keep(model), Ablation()).run(random_prompts(model)[0])
    assert all(torch.equal(before[name], tensor) for name, tensor in model.network.tensors.items())
    assert model.network.tensors.keys() == before.keys()


def test_keep_must_name_every_site():
    model = small_model()
    keep = random_keep(model)
    del keep["1.attn_v"]
    with pytest.raises(ValueError, match=r"1\.attn_v"):
        model.restrict(keep, Ablation())


def test_keep_must_have_the_sites_sizes():
    model = small_model()
    keep = random_keep(model) | {"0.mlp_neuron": torch.ones(16, dtype=torch.bool)}
    with pytest.raises(ValueError, match=r"0\.mlp_neuron has 24 nodes, got 16"):
        model.restrict(keep, Ablation())


def test_a_mask_over_slots_must_have_their_number():
    model = small_model()
    restricted = model.restrict(random_keep(model, shares=(0.5,)), Ablation())
    with pytest.raises(ValueError, match=r"0\.attn_in"):
        restricted.run(random_prompts(model)[0], masks={"0.attn_in": torch.ones(1, 16)})


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=4))
def test_slots_list_the_kept_nodes_in_ascending_order_then_nothing(rows):
    index, filled = slots(torch.tensor(rows))
    kept = [[node for node, on in enumerate(row) if on] for row in rows]
    width = max(map(len, kept))
    assert index.tolist() == [nodes + [0] * (width - len(nodes)) for nodes in kept]
    assert filled.tolist() == [[True] * len(nodes) + [False] * (width - len(nodes)) for nodes in kept]
