"""The laws of `Model.run` for models run through TransformerLens, against the plain network of `transformers`."""

import pytest
import torch
from lens_models import (
    FAMILIES,
    LONGEST,
    VOCABULARY,
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
from faithcheck.testing import check_model

every_family = pytest.mark.parametrize("family", FAMILIES)


def everything(model):
    return [*model.sites, *model.norms, "0.attn_pattern", "1.attn_pattern"]


@every_family
def test_all_laws_of_an_adapter_hold(family):
    check_model(lens(family))


@every_family
def test_with_no_levers_and_with_all_on_masks_it_is_the_model(family):
    model, (tokens, _) = lens(family), prompts()
    expected = plain(family)(tokens).logits[None]
    ones = {name: torch.ones(1, site.size) for name, site in model.sites.items()}
    assert_close(model.run(tokens).logits, expected)
    assert_close(model.run(tokens, masks=ones).logits, expected)
    assert_close(model.run(tokens, capture=everything(model)).logits, expected)


@every_family
def test_sites_are_named_in_order_of_execution_with_their_heads(family):
    model = lens(family)
    assert list(model.sites) == [f"{layer}.{kind}" for layer in range(2) for kind in SITE_KINDS]
    for name, site in model.sites.items():
        assert name == f"{site.layer}.{site.kind}"
        assert (site.head is not None) == (site.kind in ("attn_q", "attn_k", "attn_v"))
        if site.head is not None:
            assert len(site.head) == site.size


@pytest.mark.parametrize(("family", "heads"), [("gpt2", 4), ("llama", 2), ("gemma", 1), ("gemma2", 2), ("phi", 4)])
def test_grouped_keys_and_values_have_fewer_heads_than_queries(family, heads):
    sites = lens(family).sites
    assert sites["0.attn_q"].head.unique().tolist() == [0, 1, 2, 3]
    for kind in ("attn_k", "attn_v"):
        assert sites[f"0.{kind}"].head.unique().tolist() == list(range(heads))
        assert sites[f"0.{kind}"].size == heads * (sites["0.attn_q"].size // 4)


@every_family
def test_the_models_own_norm_scales_change_nothing(family):
    model, (tokens, positions) = lens(family), prompts()
    run = model.run(tokens, capture=model.norms)
    again = model.run(tokens, norm_scales=run.captured)
    assert_close(again.logits, run.logits)
    answers = model.run(tokens, positions=positions, norm_scales=run.captured).logits
    assert_close(answers[0], run.logits[0, range(3), positions])


@every_family
def test_positions_and_vocab_select_from_the_whole_logits(family):
    model, (tokens, positions) = lens(family), prompts()
    masks, vocab = random_masks(model), torch.tensor([5, 0, 5, 19])
    whole = model.run(tokens, masks=masks).logits
    picked = whole[:, torch.arange(3), positions]
    assert whole.shape == (2, 3, 7, VOCABULARY)
    assert_close(model.run(tokens, masks=masks, positions=positions).logits, picked)
    assert_close(model.run(tokens, masks=masks, vocab=vocab).logits, whole[..., vocab])
    assert_close(model.run(tokens, masks=masks, positions=positions, vocab=vocab).logits, picked[..., vocab])


@every_family
def test_members_are_separate_runs_and_so_are_prompts(family):
    model, (tokens, _) = lens(family), prompts()
    masks, capture = random_masks(model, members=3), everything(model)
    together = model.run(tokens, masks=masks, capture=capture)
    for member in range(3):
        own = {site: mask[member : member + 1] for site, mask in masks.items()}
        alone = model.run(tokens[1:], masks=own, capture=capture)
        assert_close(together.logits[member : member + 1, 1:], alone.logits)
        for name, value in alone.captured.items():
            assert_close(together.captured[name][member : member + 1, 1:], value)


@every_family
@pytest.mark.parametrize("pad", [0, 3])
def test_padding_changes_nothing(family, pad):
    model, (tokens, positions) = lens(family), prompts()
    masks = random_masks(model)
    padded = torch.cat([tokens, torch.full((3, 4), pad)], 1)
    run = model.run(padded, positions=positions, masks=masks, capture=everything(model))
    alone = model.run(tokens, positions=positions, masks=masks, capture=everything(model))
    assert_close(run.logits, alone.logits)
    for name, value in alone.captured.items():
        seen = run.captured[name][:, :, :, :7, [*range(7), -1]] if "pattern" in name else run.captured[name][:, :, :7]
        assert_close(seen, value)


@every_family
def test_patterns_are_causal_sum_to_1_and_have_an_empty_sink(family):
    model, (tokens, _) = lens(family), prompts()
    for pattern in model.run(tokens, capture=["0.attn_pattern", "1.attn_pattern"]).captured.values():
        assert pattern.shape == (1, 3, 4, 7, 8)
        assert_close(pattern.sum(-1), torch.ones(1, 3, 4, 7))
        assert not pattern[..., -1].any()
        assert not pattern[..., :7].triu(1).any()


@every_family
def test_patterns_are_those_of_the_plain_network(family):
    tokens, _ = prompts()
    expected = plain(family)(tokens, output_attentions=True).attentions
    for layer in range(2):
        found = lens(family).run(tokens, capture=[f"{layer}.attn_pattern"]).captured[f"{layer}.attn_pattern"]
        assert_close(found[0, ..., :-1], expected[layer])


def test_a_window_shorter_than_the_prompts_is_kept_to():
    network = random_network(configuration("gemma2", sliding_window=3))
    tokens, _ = prompts()
    expected = network(tokens).logits
    run = lens_of(network).run(tokens, capture=["0.attn_pattern", "1.attn_pattern"])
    assert_close(run.logits[0], expected)
    for layer, is_windowed in ((0, True), (1, False)):
        far = run.captured[f"{layer}.attn_pattern"][..., :7].tril(-3)
        assert far.any() != is_windowed


def test_members_may_run_on_prompts_of_their_own():
    model = lens("llama")
    (one, first), (other, second) = prompts(), prompts(seed=1)
    masks = random_masks(model)
    run = model.run(torch.stack([one, other]), positions=torch.stack([first, second]), masks=masks)
    for member, (tokens, positions) in enumerate([(one, first), (other, second)]):
        own = {site: mask[member : member + 1] for site, mask in masks.items()}
        assert_close(run.logits[member : member + 1], model.run(tokens, positions=positions, masks=own).logits)


def test_levers_broadcast_along_members_prompts_and_positions():
    model, (tokens, _) = lens("llama"), prompts()
    size, generator = model.sites["0.attn_v"].size, torch.Generator().manual_seed(0)
    mask, baseline = torch.rand(2, 1, 7, size, generator=generator), torch.rand(3, 1, size, generator=generator)
    scale = torch.rand(2, 3, 1, generator=generator) + 1
    whole = {"masks": mask.expand(2, 3, 7, size), "baselines": baseline.expand(2, 3, 7, size)}
    spread = {lever: {"0.attn_v": value} for lever, value in whole.items()}
    found = model.run(tokens, masks={"0.attn_v": mask}, baselines={"0.attn_v": baseline}, norm_scales={"1.ln_1": scale})
    assert_close(found.logits, model.run(tokens, **spread, norm_scales={"1.ln_1": scale.expand(2, 3, 7)}).logits)


@pytest.mark.parametrize(
    ("levers", "says"),
    [
        ({"masks": {"0.attn": torch.ones(1, 32)}}, "no site '0.attn'"),
        ({"baselines": {"2.attn_in": torch.ones(1, 32)}}, "no site '2.attn_in'"),
        ({"masks": {"0.attn_k": torch.ones(1, 32)}}, "0.attn_k has 16 nodes, got 32"),
        ({"norm_scales": {"0.ln_1_post": torch.ones(1)}}, "no norm '0.ln_1_post'"),
        ({"capture": ["0.attn_patterns"]}, "no site, norm or pattern '0.attn_patterns'"),
        ({"masks": {"0.attn_in": torch.ones(2, 32), "0.mlp_in": torch.ones(3, 32)}}, r"members: \[1, 2, 3\]"),
    ],
)
def test_what_the_model_has_not_is_refused(levers, says):
    with pytest.raises(ValueError, match=says):
        lens("llama").run(prompts()[0], **levers)


def test_prompts_longer_than_the_context_are_refused():
    with pytest.raises(ValueError, match=f"takes {LONGEST} tokens, got {LONGEST + 1}"):
        lens("gpt2").run(torch.zeros(1, LONGEST + 1, dtype=torch.int64))
