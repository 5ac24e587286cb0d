"""The laws of `faithcheck.model.Model` for loaded checkpoints of the sparse_pretrain format."""

import pickle

import pytest
import torch
from faithcheck_circuits.published.checkpoint import config_and_tensors
from faithcheck_circuits.transformer.model import SparseTransformer
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import Words, random_keep
from sparse_pretrain_files import FAST, FORMS, PLAIN, ByForm, config_of, plain_double, state_of, write
from test_model_laws import close, everything
from test_sparse_pretrain_forward import prompts

from faithcheck import load_model
from faithcheck.ablation import Ablation
from faithcheck.model import Model
from faithcheck.slots import slots
from faithcheck.testing import check_model

seeds = st.integers(0, 2**20)
few = settings(max_examples=4, deadline=None)
every_form = pytest.mark.parametrize("form", FORMS)
NO_SINKS = ("no sinks", "no flash attention")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of a checkpoint of every form."""
    return ByForm(
        {
            form: write(tmp_path_factory.mktemp("form"), config_of(form), state_of(config_of(form), seed))
            for seed, form in enumerate(FORMS)
        }
    )


@pytest.fixture(scope="module")
def loaded(folders):
    return ByForm({form: load_model(f"sparse_pretrain:{folders(form)}") for form in FORMS})


@pytest.fixture(scope="module")
def doubles(folders):
    return ByForm({form: plain_double(folders(form)) for form in FORMS})


def float_keep(model, seed, members):
    return {site: kept.to(model.dtype) for site, kept in random_keep(model, seed, members=members).items()}


@pytest.mark.parametrize("form", ["rms norm", "layer norm", "all at once"])
def test_all_laws_of_an_adapter_hold(form, loaded):
    check_model(loaded(form))


@every_form
def test_it_is_a_model_whose_parts_lie_where_it_says(form, loaded):
    model = loaded(form)
    assert all(hasattr(model, part) for part in Model.__annotations__)
    heads = [at.head for at in model.sites.values() if at.head is not None]
    assert len(heads) == 3 * model.config.layers
    assert all(head.device == model.device for head in heads)
    assert heads[0].tolist() == [node // model.config.d_head for node in range(16)]
    assert len(model.fingerprint) == 64


@every_form
def test_masks_that_are_all_on_change_no_bit_whatever_the_baselines(form, loaded):
    model = loaded(form)
    tokens, positions = prompts(1)
    masks = {site: torch.ones(1, at.size) for site, at in model.sites.items()}
    baselines = {site: torch.randn(1, 1, 1, at.size) for site, at in model.sites.items()}
    for where in (None, positions):
        bare = model.run(tokens, positions=where).logits
        assert torch.equal(model.run(tokens, positions=where, masks=masks).logits, bare)
        assert torch.equal(model.run(tokens, positions=where, masks=masks, baselines=baselines).logits, bare)


@every_form
def test_the_models_own_norm_scales_change_no_bit(form, loaded):
    model = loaded(form)
    tokens, _ = prompts(2)
    run = model.run(tokens, capture=model.norms)
    assert torch.equal(model.run(tokens, norm_scales=run.captured).logits, run.logits)


@every_form
@given(seed=seeds)
@few
def test_batch_split_and_padding_change_nothing(doubles, form, seed):
    model = doubles(form)
    tokens, _ = prompts(seed, count=4)
    masks = float_keep(model, seed, members=2)
    together = model.run(tokens, masks=masks).logits
    for prompt in range(4):
        close(model.run(tokens[prompt : prompt + 1], masks=masks).logits, together[:, prompt : prompt + 1])
    padded = torch.cat([tokens, torch.zeros(4, 2, dtype=torch.long)], 1)
    close(model.run(padded, masks=masks).logits[:, :, :5], together)
    last = torch.full((4,), 4)
    close(model.run(padded, positions=last, masks=masks).logits, together[:, :, 4])


@every_form
def test_what_is_captured_at_a_site_is_its_value_before_the_intervention(form, doubles):
    model = doubles(form)
    tokens, _ = prompts(3)
    plain = model.run(tokens, capture=everything(model)).captured
    for site, at in model.sites.items():
        off = {site: torch.zeros(1, at.size, dtype=model.dtype)}
        assert torch.equal(model.run(tokens, masks=off, capture=[site]).captured[site], plain[site])


@every_form
def test_another_runs_activations_as_baselines_give_that_runs_logits(form, doubles):
    model = doubles(form)
    (tokens, _), (others, _) = prompts(4), prompts(5)
    last = f"{model.config.layers - 1}"
    values = model.run(others, capture=list(model.sites)).captured
    stream = {f"{last}.mlp_out": torch.zeros(1, 16, dtype=model.dtype)}
    swapped = model.run(tokens, masks=stream, baselines={f"{last}.mlp_out": values[f"{last}.mlp_out"]})
    own = model.run(tokens, masks=stream)
    assert not torch.allclose(swapped.logits, own.logits)
    again = model.run(others, masks=stream, baselines={f"{last}.mlp_out": values[f"{last}.mlp_out"]})
    close(again.logits, model.run(others).logits)


@every_form
@given(seed=seeds)
@few
def test_members_are_separate_runs_also_on_prompts_of_their_own(doubles, form, seed):
    model = doubles(form)
    masks = float_keep(model, seed, members=3)
    own = [prompts(seed + member) for member in range(3)]
    together = model.run(
        torch.stack([tokens for tokens, _ in own]), positions=torch.stack([where for _, where in own]), masks=masks
    ).logits
    for member, (tokens, where) in enumerate(own):
        alone = {site: mask[member : member + 1] for site, mask in masks.items()}
        close(together[member : member + 1], model.run(tokens, positions=where, masks=alone).logits)


@every_form
def test_the_gradient_of_a_mask_is_the_slope_of_the_logits(form, doubles):
    model = doubles(form)
    tokens, positions = prompts(6)
    masks = {
        site: torch.full((1, at.size), 0.9, dtype=model.dtype, requires_grad=True) for site, at in model.sites.items()
    }

    def value(masks):
        return model.run(tokens, positions=positions, masks=masks).logits[..., 1].sum()

    grads = torch.autograd.grad(value(masks), list(masks.values()))
    assert all(grad.isfinite().all() for grad in grads)
    for site, grad in zip(masks, grads, strict=True):
        node = int(grad.abs().argmax())
        step = torch.zeros_like(grad).index_fill_(1, torch.tensor([node]), 1e-6)
        up, down = ({**masks, site: masks[site].detach() + sign * step} for sign in (1, -1))
        slope = (value(up) - value(down)).item() / 2e-6
        assert slope == pytest.approx(grad[0, node].item(), rel=1e-4, abs=1e-6), site


@pytest.mark.parametrize("form", FAST)
@given(seed=seeds)
@few
def test_the_weight_sparse_transformer_and_the_plain_one_give_the_same(folders, doubles, form, seed):
    config, tensors = config_and_tensors(folders(form))
    words = Words(f"w{i}" for i in range(config.vocabulary))
    fast = SparseTransformer("fast", config.as_sparse(), {n: t.double() for n, t in tensors.items()}, words)
    plain = doubles(form)
    tokens, positions = prompts(seed)
    keep = random_keep(fast, seed, members=3)
    masks = {site: kept.double() for site, kept in keep.items()}
    wanted = plain.run(tokens, positions=positions, masks=masks).logits
    close(fast.run(tokens, positions=positions, masks=masks).logits, wanted)
    close(fast.restrict(keep, Ablation()).run(tokens, positions=positions).logits, wanted)
    one = {site: kept[0] for site, kept in keep.items()}
    assert fast.count_edges(one) == plain.count_edges(one)


@pytest.mark.parametrize("form", NO_SINKS)
@given(seed=seeds)
@few
def test_without_sinks_no_gradient_of_the_fast_paths_is_lost(loaded, doubles, form, seed):
    fast, plain = loaded(form), doubles(form)
    tokens, positions = prompts(seed)
    keep = random_keep(fast, seed, members=2, shares=(0.25, 0.5, 1.0))

    def grads_of(model, masks):
        logits = model.run(tokens, positions=positions, masks=masks).logits
        return torch.autograd.grad(logits[..., 2].sum(), list(masks.values()), materialize_grads=True)

    masks = {site: kept.float().requires_grad_() for site, kept in keep.items()}
    exact = dict(
        zip(masks, grads_of(plain, {s: m.detach().double().requires_grad_() for s, m in masks.items()}), strict=True)
    )
    for site, grad in zip(masks, grads_of(fast, masks), strict=True):
        close(grad, exact[site], 1e-3)
    restricted = fast.restrict(keep, Ablation(), trainable=True)
    placed = {site: slots(kept) for site, kept in keep.items()}
    ones = {site: torch.ones(index.shape).requires_grad_() for site, (index, _) in placed.items()}
    for site, grad in zip(ones, grads_of(restricted, ones), strict=True):
        index, filled = placed[site]
        close(grad * filled, exact[site].gather(1, index) * filled, 1e-3)


@every_form
def test_a_copy_that_went_through_a_pickle_gives_the_same(form, loaded):
    model = loaded(form)
    copy = pickle.loads(pickle.dumps(model))
    assert model.portable
    assert torch.equal(copy.run(prompts()[0]).logits, model.run(prompts()[0]).logits)


@pytest.mark.parametrize("form", PLAIN)
def test_a_shuffled_model_has_the_same_values_in_another_order(form, loaded):
    model = loaded(form)
    shuffled = model.shuffled(3)
    assert shuffled.fingerprint != model.fingerprint
    assert model.shuffled(3).fingerprint == shuffled.fingerprint != model.shuffled(4).fingerprint
    assert list(shuffled.sites) == list(model.sites)
    for name, tensor in model.tensors.items():
        assert torch.equal(shuffled.tensors[name].flatten().sort().values, tensor.flatten().sort().values)


def test_two_models_that_compute_otherwise_have_two_fingerprints(loaded):
    assert len({loaded(form).fingerprint for form in FORMS}) == len(FORMS)


WRONG = {
    "an unknown site": ({"masks": {"2.attn_in": torch.ones(1, 16)}}, r"2\.attn_in"),
    "resid_pre, which is no site": ({"masks": {"0.resid_pre": torch.ones(1, 16)}}, r"0\.resid_pre"),
    "a mask of another size": ({"masks": {"0.mlp_neuron": torch.ones(1, 16)}}, r"0\.mlp_neuron has 24 nodes, got 16"),
    "an unknown norm": ({"norm_scales": {"0.ln_3": torch.ones(1, 1, 1)}}, r"0\.ln_3"),
    "a pattern of a layer too many": ({"capture": ["2.attn_pattern"]}, r"2\.attn_pattern"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_name_or_size_is_a_value_error_that_names_it(case, loaded):
    levers, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        loaded("relu").run(prompts()[0], **levers)


def test_a_prompt_longer_than_the_learned_positions_is_a_value_error(loaded):
    assert loaded("positions").run(prompts(width=7)[0]).logits.shape[2] == 7
    with pytest.raises(ValueError, match="has 7 positions, got prompts of 8"):
        loaded("positions").run(prompts(width=8)[0])
