"""What a run leaves out because a mask is 0 there changes nothing, not even the gradients of the nodes that are off."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from faithcheck_circuits.transformer import masked, matrix
from faithcheck_circuits.transformer.derived import Derived
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_models import VARIANTS, random_keep, random_prompts, small_model

from faithcheck.ablation import Ablation
from faithcheck.task_state import behaviour
from faithcheck.untouched import same

few = settings(max_examples=5)
every_variant = pytest.mark.parametrize("variant", VARIANTS)
seeds = st.integers(0, 2**20)


@pytest.fixture(params=["as it comes", "always compressed", "never compressed"])
def form(request, monkeypatch):
    """By which form of a weight matrix products are taken."""
    if request.param != "as it comes":
        monkeypatch.setattr(matrix, "SMALL", 0)
        monkeypatch.setattr(matrix, "SLOWER", 0 if request.param == "always compressed" else 10**9)


def close(found, expected):
    found, expected = found.detach(), expected.detach()
    assert (found - expected).abs().max() <= 1e-10 * max(1.0, float(expected.abs().max()))


def hard_masks(model, seed, share, members):
    generator = torch.Generator().manual_seed(seed)
    return {
        site: (torch.rand(members, at.size, generator=generator) < share).double() for site, at in model.sites.items()
    }


def prompts_of(model, seed, alike):
    """Random prompts; or many that differ late, so that they share columns."""
    if not alike:
        return random_prompts(model, seed)
    tokens, positions = random_prompts(model, seed, prompts=12)
    tokens[:, :3] = tokens[0, :3]
    return tokens, positions


def loss_and_gradients(model, masks, spread, seed, alike=False, scales=None):
    """Of masks over nodes; or of the same spread over positions, where no node is known to be off."""
    tokens, positions = prompts_of(model, seed, alike)
    leaves = {site: mask.clone().requires_grad_() for site, mask in masks.items()}
    levers = {
        site: leaf[:, None, None].expand(-1, *tokens.shape, -1) if spread else leaf for site, leaf in leaves.items()
    }
    logits = model.run(tokens, positions=positions, masks=levers, norm_scales=scales).logits
    logits.square().sum().backward()
    return logits.detach(), {site: leaf.grad for site, leaf in leaves.items()}


def agree(found, expected):
    close(found[0], expected[0])
    for site, gradient in expected[1].items():
        close(found[1][site], gradient)


def counted(monkeypatch):
    """A list that grows by one with every run through the pass for mask training."""
    used, taken = [], masked.masked_logits
    monkeypatch.setattr(masked, "masked_logits", lambda *args: used.append(1) or taken(*args))
    return used


@every_variant
@given(
    seed=seeds, share=st.sampled_from([0.0, 0.1, 0.4, 0.8, 1.0]), members=st.sampled_from([1, 3]), alike=st.booleans()
)
@example(seed=0, share=0.0, members=1, alike=False)
@example(seed=1, share=0.1, members=1, alike=True)
@few
def test_nodes_that_are_off_have_the_gradients_of_the_whole_network(variant, seed, share, members, alike):
    model = small_model(variant, seed % 7)
    masks = hard_masks(model, seed, share, members)
    with pytest.MonkeyPatch.context() as patch:
        used = counted(patch)
        agree(*(loss_and_gradients(model, masks, spread, seed, alike) for spread in (False, True)))
    assert len(used) == (model.config.activation_topk is None)


@pytest.mark.parametrize("variant", ["plain", "one layer", "three layers", "weight-sparse"])
@pytest.mark.parametrize(("members", "scaled"), [(1, 1), (3, 1), (1, 3), (3, 3)])
@pytest.mark.parametrize("by", ["prompt", "token", "nothing"])
def test_given_norm_scales_are_those_of_every_column(variant, members, scaled, by, monkeypatch):
    model, used = small_model(variant, 1), counted(monkeypatch)
    masks, (tokens, _) = hard_masks(model, 1, 0.4, members), random_prompts(model, 1)
    generator = torch.Generator().manual_seed(1)
    scales = {}
    for norm in model.norms:
        if by == "token":  # the first layer sees tokens that differ, not columns
            table = 0.5 + torch.rand(scaled, model.config.vocabulary, generator=generator, dtype=torch.float64)
            scales[norm] = table[:, tokens]
        else:
            shape = (scaled, *tokens.shape) if by == "prompt" else (scaled, 1, 1)
            scales[norm] = 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)
    agree(*(loss_and_gradients(model, masks, spread, 1, scales=scales) for spread in (False, True)))
    assert len(used) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_token_ids_beyond_the_numbers_of_a_small_dtype_stay_what_they_are(dtype, monkeypatch):
    model, used = small_model("plain", 6, dtype, vocabulary=5000), counted(monkeypatch)
    tokens = torch.tensor([[4097, 2051, 4999], [2049, 4099, 1]])
    masks = {site: torch.ones(1, at.size, dtype=dtype, requires_grad=True) for site, at in model.sites.items()}
    scales = {"0.ln_1": 1 + torch.rand(1, 2, 3, generator=torch.Generator().manual_seed(6)).to(dtype)}
    runs = []
    for given_masks in (masks, {}):
        run = model.run(tokens, positions=torch.tensor([2, 2]), masks=given_masks, norm_scales=scales)
        runs.append(run.logits.detach().double())
    assert (runs[0] - runs[1]).abs().max() <= 40 * torch.finfo(dtype).eps * runs[1].abs().max()
    assert len(used) == (dtype == torch.float32)


@pytest.mark.parametrize("sink", [-1e3, 80.0, 1e3, -torch.inf])
def test_sinks_may_be_of_any_size(sink, monkeypatch):
    model, used = small_model("plain", 7), counted(monkeypatch)
    for layer in range(model.config.layers):
        model.network.tensors[f"{layer}.sink"][::2] = sink
    masks = hard_masks(model, 7, 0.15, 2)
    agree(*(loss_and_gradients(model, masks, spread, 7) for spread in (False, True)))
    assert len(used) == 1


def test_members_with_positions_of_their_own_take_the_plain_pass():
    model = small_model("plain", 8)
    tokens, positions = random_prompts(model, 8)
    masks = {site: mask.requires_grad_() for site, mask in hard_masks(model, 8, 0.5, 2).items()}
    each = torch.stack([positions, (positions + 1) % 5])
    found = model.run(tokens, positions=each, masks=masks).logits
    for member, own in enumerate(each):
        close(found[member], model.run(tokens, positions=own, masks=masks).logits[member])


def test_a_few_tokens_of_the_vocabulary_are_those_of_all(monkeypatch):
    model, used = small_model("bigram", 9), counted(monkeypatch)
    tokens, positions = random_prompts(model, 9)
    masks = {site: mask.requires_grad_() for site, mask in hard_masks(model, 9, 0.5, 2).items()}
    few_tokens, grads = torch.tensor([7, 3, 7]), []
    for run in (
        model.run(tokens, positions=positions, masks=masks, vocab=few_tokens).logits,
        model.run(tokens, positions=positions, masks=masks).logits[..., few_tokens],
    ):
        grads.append((run, torch.autograd.grad(run.square().sum(), list(masks.values()))))
    close(grads[0][0], grads[1][0])
    for one, other in zip(*(found for _, found in grads), strict=True):
        close(one, other)
    assert len(used) == 2


@pytest.mark.parametrize("variant", ["plain", "bigram"])
def test_a_few_tokens_of_a_circuits_logits_are_those_of_all(variant):
    model = small_model(variant, 9)
    tokens, positions = random_prompts(model, 9)
    circuit, few_tokens = model.restrict(random_keep(model, 3, 1, shares=(0.5,)), Ablation()), torch.tensor([7, -1, 7])
    every = circuit.run(tokens, positions=positions).logits
    close(circuit.run(tokens, positions=positions, vocab=few_tokens).logits, every[..., few_tokens])


@pytest.mark.parametrize("token", [-1, "beyond"])
@pytest.mark.parametrize("is_circuit", [False, True])
def test_a_token_that_there_is_not_is_no_run(token, is_circuit):
    model = small_model("plain", 1)
    keep = {site: torch.ones(at.size, dtype=torch.bool) for site, at in model.sites.items()}
    masks = {site: mask.requires_grad_() for site, mask in hard_masks(model, 1, 0.5, 1).items()}
    tokens = torch.tensor([[1, model.config.vocabulary if token == "beyond" else token, 2]])
    runs, levers = (model.restrict(keep, Ablation()), {}) if is_circuit else (model, {"masks": masks})
    with pytest.raises(IndexError):
        runs.run(tokens, positions=torch.tensor([2]), **levers)


def test_a_circuit_is_gone_when_nothing_refers_to_it():
    """In a cycle with its tensors it would wait for the collector; cutting makes hundreds."""
    model = small_model("plain", 1)
    tokens, positions = random_prompts(model, 1)
    gc.collect()
    gc.disable()
    try:
        circuit = model.restrict(random_keep(model, 3, 1, shares=(0.5,)), Ablation(), trainable=True)
        masks = {
            site: torch.ones(1, at.size, dtype=torch.float64, requires_grad=True) for site, at in circuit.sites.items()
        }
        circuit.run(tokens, positions=positions, masks=masks).logits.sum().backward()
        circuit.run(tokens, positions=positions, capture=["0.mlp_out"])
        left = weakref.ref(circuit), weakref.ref(circuit.network)
        del circuit
        assert [each() for each in left] == [None, None]
    finally:
        gc.enable()


def test_gradients_may_be_taken_twice_but_not_after_a_weight_was_changed(monkeypatch):
    model, used = small_model("plain", 10), counted(monkeypatch)
    tokens, positions = random_prompts(model, 10)
    masks = {site: mask.requires_grad_() for site, mask in hard_masks(model, 10, 0.5, 2).items()}
    loss = model.run(tokens, positions=positions, masks=masks).logits.square().sum()
    once, twice = (torch.autograd.grad(loss, list(masks.values()), retain_graph=True) for _ in range(2))
    assert all(map(torch.equal, once, twice))
    model.network.tensors["1.attn_v.weight"] += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, list(masks.values()))
    assert len(used) == 1


def test_gradients_may_not_be_taken_after_a_mask_was_changed():
    model = small_model("plain", 10)
    tokens, positions = random_prompts(model, 10)
    masks = {site: mask.requires_grad_() for site, mask in hard_masks(model, 10, 0.5, 2).items()}
    loss = model.run(tokens, positions=positions, masks=masks).logits.square().sum()
    with torch.no_grad():
        masks["1.mlp_in"] *= 0.5
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, list(masks.values()))


def test_masks_of_another_dtype_take_the_plain_pass(monkeypatch):
    model, used = small_model("plain", 10), counted(monkeypatch)
    tokens, positions = random_prompts(model, 10)
    masks = hard_masks(model, 10, 0.5, 1)
    small = {site: mask.to(torch.bfloat16).requires_grad_() for site, mask in masks.items()}
    expected = model.run(tokens, positions=positions, masks=masks).logits
    close(model.run(tokens, positions=positions, masks=small).logits, expected)
    assert not used


@pytest.mark.parametrize("name", ["1.attn_k.bias", "1.sink", "0.mlp_neuron.bias"])
def test_what_is_not_finite_at_a_node_that_is_on_is_seen(name):
    """Also where it would be multiplied by 0: every q node of the last layer is off."""
    model = small_model("plain", 1)
    model.network.tensors[name][0] = torch.inf
    model.network.tensors["0.mlp_out.weight"][:, 0] = 0
    tokens, positions = random_prompts(model, 1)
    keep = {site: torch.full((at.size,), site != "1.attn_q") for site, at in model.sites.items()}
    circuit = model.restrict(keep, Ablation())
    plain = circuit.run(tokens, positions=positions, capture=["0.mlp_out"]).logits
    assert bool(circuit.run(tokens, positions=positions).logits.isfinite().all()) == bool(plain.isfinite().all())


@pytest.mark.parametrize("how", ["in place", "by another tensor"])
def test_a_circuit_heeds_a_change_of_its_model(how):
    model = small_model("plain", 1)
    tokens, positions = random_prompts(model, 1)
    circuit = model.restrict(random_keep(model, 3, 1, shares=(0.7,)), Ablation())
    before = circuit.run(tokens, positions=positions, capture=["0.mlp_out"]).logits
    tensors, name = model.network.tensors, "0.mlp_out.weight"
    tensors[name] = tensors[name].mul_(3) if how == "in place" else 3 * tensors[name]
    after = circuit.run(tokens, positions=positions).logits
    assert (after - before).abs().max() > 1e-3
    close(circuit.run(tokens, positions=positions, capture=["0.mlp_out"]).logits, after)


def test_a_circuit_that_ran_without_gradients_still_has_them():
    model = small_model("plain", 1)
    tokens, positions = random_prompts(model, 1)
    model.network.tensors["0.mlp_out.weight"].requires_grad_()
    circuit = model.restrict(random_keep(model, 3, 1, shares=(0.7,)), Ablation(), trainable=True)
    with torch.no_grad():
        circuit.run(tokens, positions=positions, capture=["0.mlp_out"])
    assert circuit.run(tokens, positions=positions).logits.requires_grad


def test_masks_between_off_and_on_have_their_gradients_too(monkeypatch):
    model, used = small_model("weight-sparse", 4), counted(monkeypatch)
    generator = torch.Generator().manual_seed(4)
    masks = {
        site: mask * (2 * torch.rand(mask.shape, generator=generator, dtype=torch.float64) - 0.5)
        for site, mask in hard_masks(model, 4, 0.5, 2).items()
    }
    agree(*(loss_and_gradients(model, masks, spread, 4) for spread in (False, True)))
    assert len(used) == 1


def test_one_mask_of_several_members_gets_the_sum_of_their_gradients(monkeypatch):
    model, used = small_model("plain", 5), counted(monkeypatch)
    masks = {site: mask[: 1 + (site == "0.attn_v") * 2] for site, mask in hard_masks(model, 5, 0.5, 3).items()}
    agree(*(loss_and_gradients(model, masks, spread, 5) for spread in (False, True)))
    assert len(used) == 1


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_it_does_not_matter_how_a_weight_matrix_is_stored(form, share):
    model = small_model("weight-sparse", 3)
    masks = hard_masks(model, 3, share, 1)
    found, expected = (loss_and_gradients(model, masks, spread, 3) for spread in (False, True))
    reference = loss_and_gradients(small_model("weight-sparse", 3), masks, True, 3)
    for some in (found, expected):
        agree(some, reference)


@pytest.mark.parametrize("how", ["in place", "by another tensor"])
def test_a_weight_that_is_changed_is_heeded(form, how):
    """A method that edits the model must not go unseen because the model runs on a copy of its weights."""
    model = small_model("weight-sparse", 2)
    tokens, positions = random_prompts(model)
    before = model.run(tokens, positions=positions).logits
    every = {name: torch.ones(site.size, dtype=torch.bool) for name, site in model.sites.items()}
    for name in ("embed", "unembed", "0.mlp_neuron.weight", "1.attn_v.bias", "ln_f.gain", "0.sink"):
        if how == "in place":
            model.network.tensors[name] += 0.5
        else:
            model.network.tensors[name] = model.network.tensors[name] + 0.5
        after = model.run(tokens, positions=positions).logits
        assert (after - before).abs().max() > 1e-6, name
        close(model.restrict(every, Ablation()).run(tokens, positions=positions).logits, after)
        before = after


def test_a_weight_that_is_changed_behind_torchs_back_is_seen_by_the_engine(form):
    """`.data` leaves no trace in the versions of tensors, by which compressed forms know that they are out of date."""
    model = small_model("weight-sparse", 2)
    tokens, positions = random_prompts(model)
    bench = SimpleNamespace(prompts=lambda split: SimpleNamespace(tokens=tokens, positions=positions))
    before = behaviour(bench, model)
    masks = {site: mask.requires_grad_() for site, mask in hard_masks(model, 2, 0.5, 1).items()}
    model.run(tokens, positions=positions, masks=masks)
    for name in ("0.mlp_neuron.weight", "1.attn_v.weight", "1.mlp_out.weight"):
        model.network.tensors[name].data *= 1.5
        after = behaviour(bench, model)
        assert not same(after, before), name
        before = after


def runs_a_circuit(model, tokens, positions):
    every = {name: torch.ones(site.size, dtype=torch.bool) for name, site in model.sites.items()}
    model.restrict(every, Ablation()).run(tokens, positions=positions)


def runs_under_masks(model, tokens, positions):
    masks = {site: mask.requires_grad_() for site, mask in hard_masks(model, 2, 0.5, 1).items()}
    model.run(tokens, positions=positions, masks=masks)


@pytest.mark.parametrize("run", [runs_a_circuit, runs_under_masks])
@pytest.mark.parametrize("behind", [True, False])
def test_weights_that_are_changed_for_a_while_leave_no_copy_that_the_engine_does_not_see(form, run, behind):
    """Behind torch's back, or only put back so: the loops must run on what the weights are, or the engine see it."""
    model = small_model("weight-sparse", 2)
    tokens, positions = random_prompts(model)
    every = {name: torch.ones(site.size, dtype=torch.bool) for name, site in model.sites.items()}
    bench = SimpleNamespace(prompts=lambda split: SimpleNamespace(tokens=tokens, positions=positions))
    before, want = behaviour(bench, model), model.run(tokens, positions=positions).logits
    weight = model.network.tensors["unembed"]
    kept = weight.clone()
    (weight.data if behind else weight).mul_(4)
    run(model, tokens, positions)
    weight.data.copy_(kept)
    found = model.restrict(every, Ablation()).run(tokens, positions=positions).logits
    assert not same(behaviour(bench, model), before) or (found - want).abs().max() < 1e-9


def test_a_restriction_keeps_the_nodes_that_it_was_given():
    model = small_model()
    tokens, positions = random_prompts(model)
    keep = {name: torch.ones(site.size, dtype=torch.bool) for name, site in model.sites.items()}
    circuit = model.restrict(keep, Ablation())
    keep["0.mlp_out"][:] = False
    close(circuit.run(tokens, positions=positions).logits, model.run(tokens, positions=positions).logits)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_nodes_to_keep_that_are_not_bool_are_refused(dtype):
    model = small_model()
    keep = {name: torch.ones(site.size, dtype=torch.bool) for name, site in model.sites.items()}
    keep["1.attn_q"] = keep["1.attn_q"].to(dtype)
    with pytest.raises(ValueError, match=r"keep is bool at every site; 1\.attn_q is torch\."):
        model.restrict(keep, Ablation())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_circuit_under_given_scales_of_any_precision(form, dtype):
    model = small_model("weight-sparse", 2)
    tokens, positions = random_prompts(model)
    captured = model.run(tokens, capture=model.norms).captured
    scales = {norm: captured[norm].to(dtype) for norm in model.norms}
    circuit = model.restrict(random_keep(model, 1, 1), Ablation())
    plain = circuit.run(tokens, norm_scales=scales).logits[:, torch.arange(tokens.shape[0]), positions]
    close(circuit.run(tokens, positions=positions, norm_scales=scales).logits, plain)


def test_what_is_derived_is_made_once_until_a_source_changes():
    source, made = torch.ones(3), []

    def double(x):
        made.append(1)
        return 2 * x

    tensors = {"x": source}
    derived = Derived(double, tensors, "x")
    assert derived.get() is derived.get()
    source[0] = 5
    assert derived.get().tolist() == [10, 2, 2]
    tensors["x"] = torch.zeros(3)
    assert derived.get().tolist() == [0, 0, 0]
    assert len(made) == 3


def test_short_and_long_texts_attend_alike(monkeypatch):
    from faithcheck_circuits.transformer import attention

    model = small_model()
    tokens, positions = random_prompts(model)
    names = [f"{layer}.attn_pattern" for layer in range(model.config.layers)]
    runs = []
    for short in (22, 0):
        monkeypatch.setattr(attention, "SHORT", short)
        runs.append((model.run(tokens, capture=names), model.run(tokens, positions=positions).logits))
    close(runs[0][0].logits, runs[1][0].logits)
    close(runs[0][1], runs[1][1])
    for name in names:
        close(runs[0][0].captured[name], runs[1][0].captured[name])
