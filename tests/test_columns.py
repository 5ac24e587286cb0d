"""Prompts that begin alike share what they compute, and whatever tells them apart keeps them apart."""

import pytest
import torch
from faithcheck_circuits.transformer.columns import Columns
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_forward import plain_forward
from small_models import VARIANTS, random_keep, small_model

from faithcheck.ablation import Ablation

few = settings(max_examples=5)
every_variant = pytest.mark.parametrize("variant", VARIANTS)
seeds = st.integers(0, 2**20)


def alike(seed, prompts=24, length=5):
    """Prompts of two words, most of whose beginnings others have too; and positions."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, 5, (prompts, length), generator=generator)
    return tokens, torch.randint(0, length, (prompts,), generator=generator)


def close(found, expected):
    expected = torch.as_tensor(expected)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-10 * max(1.0, float(expected.abs().max()))


def everything(model):
    return [*model.sites, *model.norms, *(f"{layer}.attn_pattern" for layer in range(model.config.layers))]


def test_a_column_is_a_prefix_and_its_keys_are_its_own_prefixes():
    tokens = torch.tensor([[1, 2, 3], [1, 2, 4], [1, 5, 3], [1, 2, 3]] * 3)
    columns = Columns.together(tokens[None], None)
    assert columns.tokens[0].tolist() == [1, 2, 5, 3, 4, 3]
    assert columns.place[:4].tolist() == [[0, 1, 3], [0, 1, 4], [0, 2, 5], [0, 1, 3]]
    queries = columns.queries
    seen = [keys[:count] for keys, count in zip(queries.keys.tolist(), queries.count[0].tolist(), strict=True)]
    assert seen == [[0], [0, 1], [0, 2], [0, 1, 3], [0, 1, 4], [0, 2, 5]]


def test_nothing_is_computed_after_the_answer():
    tokens = torch.tensor([[1, 2, 3], [1, 2, 4]] * 4)
    columns = Columns.together(tokens[None], torch.tensor([1, 0] * 4))
    assert columns.tokens[0].tolist() == [1, 2]


def test_prompts_that_share_little_stay_apart():
    assert Columns.together(torch.arange(40).view(1, 8, 5), None) is None


@every_variant
@given(seed=seeds)
@few
def test_all_that_a_run_gives_is_what_the_plain_network_gives(variant, seed):
    model = small_model(variant, seed % 7)
    tokens, positions = alike(seed)
    names = everything(model)
    expected = plain_forward(model, tokens)
    whole = model.run(tokens, capture=names)
    close(whole.logits, expected.logits)
    for name in names:
        close(whole.captured[name], expected.captured[name])
    every = torch.arange(len(tokens))
    narrow = model.run(tokens, positions=positions)
    close(narrow.logits, torch.as_tensor(expected.logits)[:, every, positions])
    close(model.run(tokens, positions=positions, capture=names).logits, narrow.logits)


@pytest.mark.parametrize("lever", ["masks", "baselines", "norm_scales"])
@pytest.mark.parametrize("varies", ["by prompt", "by position", "by both", "not at all", "as the prefix does"])
def test_levers_that_tell_prompts_apart_are_heeded(lever, varies):
    """Every way of saying what the lever is at each position gives what the plain network gives."""
    model = small_model()
    tokens, positions = alike(3)
    generator = torch.Generator().manual_seed(5)
    prompts, length = tokens.shape
    shape = {"by prompt": (prompts, 1), "by position": (1, length), "not at all": (1, 1)}.get(varies, (prompts, length))
    name, width = ("1.ln_1", ()) if lever == "norm_scales" else ("0.mlp_neuron", (model.sites["0.mlp_neuron"].size,))
    value = 0.5 + torch.rand(1, *shape, *width, generator=generator, dtype=torch.float64)
    if varies == "as the prefix does":
        value = model.run(tokens, capture=[name]).captured[name]
    levers = {lever: {name: value}}
    if lever == "baselines":
        levers["masks"] = {name: torch.full((1, *width), 0.25, dtype=torch.float64)}
    spread = {
        key: {at: _whole(lever, prompts, length) for at, lever in by_name.items()} for key, by_name in levers.items()
    }
    expected = plain_forward(
        model, tokens, spread.get("masks"), spread.get("baselines"), spread.get("norm_scales", {})
    ).logits
    close(model.run(tokens, **levers).logits, expected)
    found = model.run(tokens, positions=positions, **levers).logits
    close(found, torch.as_tensor(expected)[:, torch.arange(prompts), positions])


def _whole(lever, prompts, length):
    if lever.dim() == 2:
        lever = lever[:, None, None]
    return lever.expand(1, prompts, length, *lever.shape[3:])


@every_variant
@given(seed=seeds, shared=st.booleans(), frozen=st.booleans())
@few
def test_members_on_prompts_of_their_own_run_as_each_does_alone(variant, seed, shared, frozen):
    model = small_model(variant, seed % 7)
    own = [alike(seed + member) for member in range(3)]
    tokens, positions = (torch.stack(part) for part in zip(*own, strict=True))
    keep = random_keep(model, seed, 1 if shared else 3)
    restricted = model.restrict(keep, Ablation())
    scales = model.run(tokens, capture=model.norms).captured if frozen else None
    found = restricted.run(tokens, positions=positions, norm_scales=scales).logits
    assert len(found) == 3
    for member, (prompts, last) in enumerate(own):
        alone = {site: kept[0 if shared else member] for site, kept in keep.items()}
        own_scales = model.run(prompts, capture=model.norms).captured if frozen else None
        expected = model.restrict(alone, Ablation()).run(prompts, positions=last, norm_scales=own_scales).logits
        close(found[member], expected[0])


def test_gradients_of_what_is_shared_add_up():
    model = small_model()
    tokens, positions = alike(1)
    grads = []
    for spread in (False, True):
        mask = torch.full((1, model.sites["0.attn_v"].size), 0.7, dtype=torch.float64, requires_grad=True)
        lever = mask[:, None, None].expand(1, *tokens.shape, -1) if spread else mask
        logits = model.run(tokens, positions=positions, masks={"0.attn_v": lever}).logits
        grads.append(torch.autograd.grad(logits.square().sum(), mask)[0])
    close(grads[0], grads[1])
