"""Masks, baselines, scales and gradients of models run through TransformerLens, against independent computations."""

import copy

import pytest
import torch
from lens_edits import switch_off
from lens_models import (
    FAMILIES,
    POST_NORMS,
    assert_close,
    configuration,
    lens,
    lens_of,
    plain,
    prompts,
    random_masks,
    random_network,
)

from faithcheck.model import SITE_KINDS

every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
@pytest.mark.parametrize("kind", SITE_KINDS)
def test_a_node_that_is_masked_is_a_node_without_weights(family, kind):
    model, (tokens, _), site = lens(family), prompts(), f"1.{kind}"
    off = list(range(1, model.sites[site].size, 3))
    mask = torch.ones(1, model.sites[site].size)
    mask[:, off] = 0.0
    edited = copy.deepcopy(plain(family))
    switch_off(edited, family, site, off)
    found = model.run(tokens, masks={site: mask}).logits
    assert_close(found[0], edited(tokens).logits)
    assert (found[0] - plain(family)(tokens).logits).abs().max() > 1e-2


@every_family
def test_nodes_of_all_sites_of_both_layers_masked_at_once_are_nodes_without_weights(family):
    model, (tokens, _) = lens(family), prompts()
    edited, masks = copy.deepcopy(plain(family)), {}
    for place, (site, at) in enumerate(model.sites.items()):
        off = list(range(place % 4, at.size, 4))
        masks[site] = torch.ones(1, at.size)
        masks[site][:, off] = 0.0
        switch_off(edited, family, site, off)
    assert_close(model.run(tokens, masks=masks).logits[0], edited(tokens).logits)


@every_family
def test_a_captured_activation_is_the_value_before_the_intervention_and_can_be_another_runs_baseline(family):
    model, (tokens, _), (others, _) = lens(family), prompts(), prompts(seed=1)
    donor = model.run(others, capture=list(model.sites)).captured
    for site, at in model.sites.items():
        zero = {site: torch.zeros(1, at.size)}
        run = model.run(tokens, masks=zero, baselines={site: donor[site]}, capture=[site])
        assert_close(run.captured[site], model.run(tokens, capture=[site]).captured[site])
    last = {site: torch.zeros(1, at.size) for site, at in model.sites.items() if at.kind in ("attn_out", "mlp_out")}
    everything = model.run(tokens, masks=last, baselines={site: donor[site] for site in last}).logits
    assert (everything - model.run(tokens).logits).abs().max() > 1e-2


@every_family
def test_the_intervention_is_a_mixture_of_activation_and_baseline(family):
    # A mask of m with a baseline b is no mask with the baseline m x + (1 - m) b.
    model, (tokens, _) = lens(family), prompts()
    masks, baselines = random_masks(model, members=1), random_masks(model, members=1, seed=1)
    for site, at in model.sites.items():
        mask, baseline = masks[site], baselines[site]
        x = model.run(tokens, capture=[site]).captured[site]
        mixed = model.run(tokens, masks={site: mask}, baselines={site: baseline}).logits
        given = mask * x + (1 - mask) * baseline
        zero = {site: torch.zeros(1, at.size)}
        assert_close(mixed, model.run(tokens, masks=zero, baselines={site: given}).logits, 2e-5)


@every_family
def test_all_that_is_added_to_the_stream_switched_off_leaves_embedding_and_unembedding(family):
    model, (tokens, _) = lens(family), prompts()
    off = {n: torch.zeros(1, site.size) for n, site in model.sites.items() if site.kind in ("attn_out", "mlp_out")}
    network = copy.deepcopy(plain(family))
    base = getattr(network, {"gpt2": "transformer", "pythia": "gpt_neox"}.get(family, "model"))
    blocks = "h" if family == "gpt2" else "layers"
    setattr(base, blocks, torch.nn.ModuleList())
    network.config.num_hidden_layers = 0
    assert_close(model.run(tokens, masks=off).logits[0], network(tokens).logits)


@every_family
def test_norm_scales_are_what_the_norms_divide_by(family):
    model, (tokens, _) = lens(family), prompts()
    hidden = plain(family)(tokens, output_hidden_states=True).hidden_states
    eps = next(
        getattr(plain(family).config, key)
        for key in ("layer_norm_epsilon", "layer_norm_eps", "rms_norm_eps")
        if hasattr(plain(family).config, key)
    )
    for layer in range(2):
        x = hidden[layer]
        if family in ("gpt2", "pythia", "phi"):
            x = x - x.mean(-1, keepdim=True)
        found = model.run(tokens, capture=[f"{layer}.ln_1"]).captured[f"{layer}.ln_1"]
        assert_close(found[0], (x.square().mean(-1) + eps).sqrt())


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma"])
def test_another_scale_of_the_first_norm_divides_its_input_by_it(family):
    # By hand: gain * (centred) input / scale + bias.
    model, (tokens, _), network = lens(family), prompts(), plain(family)
    scale = torch.rand(1, *tokens.shape, generator=torch.Generator().manual_seed(0)) + 0.5
    if family == "gpt2":
        x = network.transformer.wte.weight[tokens] + network.transformer.wpe.weight[: tokens.shape[1]]
        norm = network.transformer.h[0].ln_1
        gain, bias = norm.weight, norm.bias
        x = x - x.mean(-1, keepdim=True)
    else:
        x = network.model.embed_tokens.weight[tokens]
        gain, bias = network.model.layers[0].input_layernorm.weight, 0.0
        if family == "gemma":
            x, gain = x * 32**0.5, 1 + gain
    run = model.run(tokens, norm_scales={"0.ln_1": scale}, capture=["0.attn_in", "0.ln_1"])
    assert_close(run.captured["0.attn_in"][0], gain * x / scale[0, ..., None] + bias)
    assert torch.equal(run.captured["0.ln_1"], scale)


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma"])
def test_twice_the_scale_of_the_last_norm_halves_the_logits(family):
    model, (tokens, _) = lens(family), prompts()
    run = model.run(tokens, capture=["ln_f"])
    assert_close(model.run(tokens, norm_scales={"ln_f": 2 * run.captured["ln_f"]}).logits, run.logits / 2)


@pytest.mark.parametrize("family", POST_NORMS)
def test_twice_the_scale_of_a_post_norm_halves_what_is_added_to_the_stream(family):
    model, (tokens, _) = lens(family), prompts()
    for norm, site in (("0.ln_1_post", "0.attn_out"), ("1.ln_2_post", "1.mlp_out")):
        run = model.run(tokens, capture=[norm, site])
        halved = model.run(tokens, norm_scales={norm: 2 * run.captured[norm]}, capture=[site])
        assert_close(halved.captured[site], run.captured[site] / 2)


@pytest.mark.parametrize("family", ["gpt2", "pythia", "llama", "gemma2"])
def test_every_norm_of_a_masked_run_can_be_held_to_the_scales_of_the_model(family):
    # Frozen, the network is linear in what the last layer adds: half of it moves the stream before ln_f half as far.
    model, (tokens, _) = lens(family), prompts()
    scales = model.run(tokens, capture=model.norms).captured
    site, cap = "1.mlp_out", getattr(plain(family).config, "final_logit_softcapping", None)

    def logits(share, **given):
        mask = torch.full((1, model.sites[site].size), share)
        found = model.run(tokens, masks={site: mask}, **given).logits
        return found if cap is None else cap * torch.atanh(found / cap)

    none, half, whole = (logits(share, norm_scales=scales) for share in (0.0, 0.5, 1.0))
    assert_close(half, (none + whole) / 2, 1e-4)
    live = [logits(share) for share in (0.0, 0.5, 1.0)]
    assert (live[1] - (live[0] + live[2]) / 2).abs().max() > 1e-2


@every_family
def test_gradients_reach_every_mask_and_are_those_of_finite_differences(family):
    model, (tokens, positions) = lens(family), prompts()
    masks = {site: 0.2 + 0.6 * mask for site, mask in random_masks(model, members=1).items()}
    ways = {s: w - 0.5 for s, w in random_masks(model, members=1, seed=1).items()}
    weights = torch.randn(1, 3, 40, generator=torch.Generator().manual_seed(0))

    def value(masks):
        return (model.run(tokens, positions=positions, masks=masks).logits * weights).sum()

    leaves = {site: mask.clone().requires_grad_() for site, mask in masks.items()}
    grads = dict(zip(leaves, torch.autograd.grad(value(leaves), list(leaves.values())), strict=True))
    step = 1e-2
    for site, way in ways.items():
        up, down = (value({**masks, site: masks[site] + sign * step * way}) for sign in (1, -1))
        expected = float(up - down) / (2 * step)
        assert float((grads[site] * way).sum()) == pytest.approx(expected, rel=2e-2, abs=2e-2), site


def test_in_double_precision_gradients_are_exactly_those_of_finite_differences():
    model = lens_of(random_network(configuration("gpt2"), dtype=torch.float64))
    tokens, positions = prompts()
    masks = {site: mask.double() for site, mask in random_masks(model, members=1).items()}
    ways = {site: mask.double() - 0.5 for site, mask in random_masks(model, members=1, seed=1).items()}
    leaves = {site: mask.clone().requires_grad_() for site, mask in masks.items()}
    value = lambda masks: model.run(tokens, positions=positions, masks=masks).logits.square().sum()  # noqa: E731
    grads = dict(zip(leaves, torch.autograd.grad(value(leaves), list(leaves.values())), strict=True))
    for site, way in ways.items():
        up, down = (value({**masks, site: masks[site] + sign * 1e-4 * way}) for sign in (1, -1))
        assert float((grads[site] * way).sum()) == pytest.approx(float(up - down) / 2e-4, rel=1e-6, abs=1e-7), site


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_gradients_reach_baselines_and_norm_scales(family):
    model, (tokens, positions) = lens(family), prompts()
    scales = {n: s.clone().requires_grad_() for n, s in model.run(tokens, capture=model.norms).captured.items()}
    masks = random_masks(model, members=1)
    baselines = {site: torch.zeros(1, at.size, requires_grad=True) for site, at in model.sites.items()}
    run = model.run(tokens, positions=positions, masks=masks, baselines=baselines, norm_scales=scales)
    leaves = [*scales.values(), *baselines.values()]
    assert all(grad.any() for grad in torch.autograd.grad(run.logits.square().sum(), leaves))


@every_family
def test_a_run_leaves_no_graph_where_nothing_wants_a_gradient_and_no_hook_where_it_fails(family):
    model, (tokens, _) = lens(family), prompts()
    expected = model.run(tokens).logits
    assert not expected.requires_grad
    with pytest.raises(RuntimeError, match="size"):
        model.run(tokens, masks=random_masks(model), norm_scales={"ln_f": torch.ones(1, 5, 9)})
    assert torch.equal(model.run(tokens).logits, expected)
