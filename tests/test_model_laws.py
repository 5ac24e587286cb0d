"""The laws of `Model.run`, for every variant of the transformer, against a forward pass written independently.

The models are float64, so that EXACT (relative to the largest value) leaves room for the order of sums and no more.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_forward import plain_forward
from small_models import VARIANTS, random_keep, random_prompts, small_model

EXACT, FLOAT32 = 1e-10, 1e-5
MEMBERS, PROMPTS, WIDTH = 2, 3, 5
seeds = st.integers(0, 2**20)
few = settings(max_examples=4, deadline=None)
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def close(found, expected, tolerance=EXACT):
    """Found has the expected shape, except that its member axis may be 1, and the same values."""
    expected = torch.as_tensor(expected)
    assert found.shape[1:] == expected.shape[1:]
    assert len(found) in (1, len(expected))
    difference = (found.double() - expected).abs().max()
    assert difference <= tolerance * max(1.0, float(expected.abs().max())), float(difference)


def everything(model):
    return [*model.sites, *model.norms, *(f"{layer}.attn_pattern" for layer in range(model.config.layers))]


def at(values, positions):
    """The answer position of each prompt: [member, prompt, pos, ...] -> [member, prompt, ...]."""
    return values[:, np.arange(len(positions)), np.asarray(positions)]


def shape_of(seed, *last):
    """A shape that broadcasts to [member, prompt, pos, *last], each leading axis whole or 1."""
    whole = np.random.default_rng(seed).integers(0, 2, 3)
    return (*np.where(whole, (MEMBERS, PROMPTS, WIDTH), 1).tolist(), *last)


def random_levers(model, seed):
    """Masks (some [member, node]), baselines and norm scales at about half of the sites and norms."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    masks, baselines, scales = {}, {}, {}
    for i, (site, where) in enumerate(model.sites.items()):
        if rng.random() < 0.6:
            shape = (MEMBERS, where.size) if rng.random() < 0.5 else shape_of(seed + i, where.size)
            value = torch.rand(shape, generator=generator, dtype=torch.float64)
            masks[site] = value.round() if rng.random() < 0.5 else value
        if rng.random() < 0.5:
            shape = shape_of(seed + i + 50, where.size)
            baselines[site] = torch.randn(shape, generator=generator, dtype=torch.float64)
    for i, norm in enumerate(model.norms):
        if rng.random() < 0.5:
            scales[norm] = 0.5 + torch.rand(shape_of(seed + i + 99), generator=generator, dtype=torch.float64)
    return masks, baselines, scales


@every_variant
@given(seed=seeds)
@few
def test_a_run_without_levers_is_the_plain_forward_pass(variant, seed):
    model = small_model(variant, seed)
    tokens, _ = random_prompts(model, seed)
    plain = plain_forward(model, tokens)
    run = model.run(tokens, capture=everything(model))
    close(run.logits, plain.logits)
    assert set(run.captured) == set(plain.captured)
    for name, value in plain.captured.items():
        close(run.captured[name], value)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v not in ("top-k", "all at once")])
def test_a_float32_run_is_the_plain_forward_pass_to_float32(variant):
    model = small_model(variant, seed=1, dtype=torch.float32)
    tokens, _ = random_prompts(model, seed=1)
    close(model.run(tokens).logits, plain_forward(model, tokens).logits, FLOAT32)


@every_variant
@given(seed=seeds, whole=st.booleans())
@few
def test_masks_baselines_and_scales_of_any_shape_do_what_the_plain_pass_does(variant, seed, whole):
    model = small_model(variant, seed % 7)
    tokens, positions = random_prompts(model, seed, PROMPTS, WIDTH)
    masks, baselines, scales = random_levers(model, seed)
    plain = plain_forward(model, tokens, masks, baselines, scales, MEMBERS)
    levers = {"masks": masks, "baselines": baselines, "norm_scales": scales}
    found = model.run(tokens, positions=None if whole else positions, **levers).logits
    expected = plain.logits if whole else at(plain.logits, positions)
    close(found, expected)


@every_variant
@given(seed=seeds, data=st.data())
@few
def test_what_is_captured_covers_all_positions_even_where_logits_are_asked_at_one(variant, seed, data):
    model = small_model(variant, seed % 7)
    tokens, positions = random_prompts(model, seed, PROMPTS, WIDTH)
    masks, baselines, _ = random_levers(model, seed)
    names = data.draw(st.lists(st.sampled_from(everything(model)), max_size=4, unique=True))
    plain = plain_forward(model, tokens, masks, baselines, members=MEMBERS)
    run = model.run(tokens, positions=positions, masks=masks, baselines=baselines, capture=names)
    close(run.logits, at(plain.logits, positions))
    assert set(run.captured) == set(names)
    for name in names:
        close(run.captured[name], plain.captured[name])


@every_variant
def test_a_captured_value_has_one_member_where_nothing_upstream_differs(variant):
    model = small_model(variant)
    tokens, positions = random_prompts(model)
    last = f"{model.config.layers - 1}.mlp_out"
    masks = {last: torch.zeros(3, model.sites[last].size, dtype=torch.float64)}
    run = model.run(tokens, positions=positions, masks=masks, capture=[last, "0.attn_in", "ln_f"])
    assert [len(run.captured[name]) for name in (last, "0.attn_in", "ln_f")] == [1, 1, 3]


@every_variant
@given(seed=seeds)
@few
def test_masks_that_are_all_on_change_no_bit_whatever_the_baselines(variant, seed):
    model = small_model(variant, seed, dtype=torch.float32)
    tokens, positions = random_prompts(model, seed)
    masks = {site: torch.ones(1, at.size) for site, at in model.sites.items()}
    baselines = {site: torch.randn(1, 1, 1, at.size) for site, at in model.sites.items()}
    for where in (None, positions):
        bare = model.run(tokens, positions=where).logits
        assert torch.equal(model.run(tokens, positions=where, masks=masks).logits, bare)
        levers = {"masks": masks, "baselines": baselines}
        assert torch.equal(model.run(tokens, positions=where, **levers).logits, bare)


def test_baselines_without_masks_change_nothing():
    model = small_model()
    tokens, _ = random_prompts(model)
    baselines = {site: torch.full((1, 1, 1, at.size), 9.0) for site, at in model.sites.items()}
    assert torch.equal(model.run(tokens, baselines=baselines).logits, model.run(tokens).logits)


@every_variant
@given(seed=seeds)
@few
def test_members_are_separate_runs(variant, seed):
    model = small_model(variant, seed)
    tokens, positions = random_prompts(model, seed)
    masks = {site: kept.double() for site, kept in random_keep(model, seed, members=3).items()}
    together = model.run(tokens, positions=positions, masks=masks).logits
    for member in range(3):
        own = {site: mask[member : member + 1] for site, mask in masks.items()}
        close(together[member : member + 1], model.run(tokens, positions=positions, masks=own).logits)


@every_variant
@given(seed=seeds)
@few
def test_the_models_own_norm_scales_change_no_bit(variant, seed):
    model = small_model(variant, seed, dtype=torch.float32)
    tokens, _ = random_prompts(model, seed)
    run = model.run(tokens, capture=model.norms)
    assert torch.equal(model.run(tokens, norm_scales=run.captured).logits, run.logits)


@every_variant
def test_the_models_own_norm_scales_change_nothing_at_the_answer_positions(variant):
    model = small_model(variant)
    tokens, positions = random_prompts(model)
    scales = model.run(tokens, positions=positions, capture=model.norms).captured
    found = model.run(tokens, positions=positions, norm_scales=scales).logits
    close(found, model.run(tokens, positions=positions).logits)


def test_a_given_norm_scale_is_what_is_captured_there():
    model = small_model()
    tokens, positions = random_prompts(model)
    scale = torch.rand(2, *tokens.shape, dtype=torch.float64) + 1
    run = model.run(tokens, positions=positions, norm_scales={"1.ln_2": scale}, capture=["1.ln_2"])
    assert torch.equal(run.captured["1.ln_2"], scale)


@every_variant
@given(seed=seeds)
@few
def test_positions_and_vocab_select_from_the_whole_logits(variant, seed):
    model = small_model(variant, seed)
    tokens, positions = random_prompts(model, seed)
    vocab = torch.tensor([5, 0, 5, 19])
    whole = model.run(tokens).logits
    picked = torch.as_tensor(at(whole.numpy(), positions))
    close(model.run(tokens, positions=positions).logits, picked)
    close(model.run(tokens, vocab=vocab).logits, whole[..., vocab])
    close(model.run(tokens, positions=positions, vocab=vocab).logits, picked[..., vocab])


@every_variant
@given(seed=seeds, pads=st.integers(1, 4))
@few
def test_padding_changes_nothing(variant, seed, pads):
    model = small_model(variant, seed)
    tokens, positions = random_prompts(model, seed)
    padded = torch.cat([tokens, torch.zeros(len(tokens), pads, dtype=torch.int64)], 1)
    masks = {site: kept.double()[None] for site, kept in random_keep(model, seed).items()}
    found = model.run(padded, positions=positions, masks=masks).logits
    close(found, model.run(tokens, positions=positions, masks=masks).logits)
    close(model.run(padded, masks=masks).logits[:, :, : tokens.shape[1]], model.run(tokens, masks=masks).logits)


@every_variant
@given(seed=seeds, cut=st.integers(1, 4))
@few
def test_splitting_a_batch_changes_nothing(variant, seed, cut):
    model = small_model(variant, seed)
    tokens, positions = random_prompts(model, seed, prompts=5)
    masks = {site: kept.double() for site, kept in random_keep(model, seed, members=2).items()}
    parts = [
        model.run(tokens[part], positions=positions[part], masks=masks).logits
        for part in (slice(None, cut), slice(cut, None))
    ]
    close(torch.cat(parts, 1), model.run(tokens, positions=positions, masks=masks).logits)


WRONG = {
    "a mask at an unknown site": ({"masks": {"2.attn_in": torch.ones(1, 16)}}, r"2\.attn_in"),
    "a baseline at an unknown site": ({"baselines": {"0.attn_z": torch.ones(1, 16)}}, r"0\.attn_z"),
    "a mask at a norm": ({"masks": {"ln_f": torch.ones(1, 16)}}, "ln_f"),
    "a mask of another size": ({"masks": {"0.mlp_neuron": torch.ones(1, 16)}}, r"0\.mlp_neuron has 24 nodes, got 16"),
    "a mask of one node": ({"masks": {"0.attn_q": torch.ones(1, 1)}}, r"0\.attn_q has 16 nodes, got 1"),
    "a baseline of another size": ({"baselines": {"1.attn_v": torch.ones(1, 1, 1, 17)}}, r"1\.attn_v has 16"),
    "an unknown norm": ({"norm_scales": {"0.ln_3": torch.ones(1, 1, 1)}}, r"0\.ln_3"),
    "an unknown capture": ({"capture": ["0.attn_in", "attn_pattern"]}, "'attn_pattern'"),
    "a pattern of a layer too many": ({"capture": ["2.attn_pattern"]}, r"2\.attn_pattern"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_name_or_size_is_a_value_error_that_names_it(case):
    levers, message = WRONG[case]
    model = small_model()
    with pytest.raises(ValueError, match=message):
        model.run(random_prompts(model)[0], **levers)


@pytest.mark.parametrize("name", ["0.attn_in", "1.attn_pattern"])
def test_a_norm_scale_for_what_is_no_norm_is_a_value_error(name):
    model = small_model()
    with pytest.raises(ValueError, match=name):
        model.run(random_prompts(model)[0], norm_scales={name: torch.ones(1, 1, 1)})


def test_a_given_norm_scale_that_broadcasts_is_captured_at_every_prompt_and_position():
    model = small_model()
    tokens, _ = random_prompts(model)
    run = model.run(tokens, norm_scales={"ln_f": torch.full((1, 1, 1), 2.0)}, capture=["ln_f"])
    assert run.captured["ln_f"].shape == (1, *tokens.shape)
