"""Gradients, copies and odd inputs of a run: what its shortcuts must not change."""

import copy
import pickle

import pytest
import torch
from faithcheck_circuits.transformer import matrix
from faithcheck_circuits.transformer.forward import forward
from faithcheck_circuits.transformer.network import Network
from small_models import random_prompts, random_tensors, small_config, small_model
from test_columns import alike

from faithcheck.ablation import Ablation


@pytest.mark.parametrize("repeated", [False, True])
def test_every_tensor_of_a_network_in_training_gets_a_gradient(repeated):
    config = small_config()
    tensors = {name: tensor.requires_grad_() for name, tensor in random_tensors(config).items()}
    tokens = torch.randint(0, config.vocabulary, (8, 5), generator=torch.Generator().manual_seed(0))
    rows = tokens[:1].expand(8, -1) if repeated else tokens
    forward(Network(config, tensors), rows).logits.square().sum().backward()
    assert [name for name, tensor in tensors.items() if tensor.grad is None] == []


@pytest.mark.parametrize("lever", ["baselines", "norm_scales"])
def test_a_lever_of_each_position_gets_its_own_gradient(lever):
    """Also where prompts share what they compute: no position stands for the others."""
    model = small_model()
    tokens, positions = alike(0)
    name, width = ("0.ln_2", ()) if lever == "norm_scales" else ("0.mlp_neuron", (model.sites["0.mlp_neuron"].size,))
    value = torch.ones(1, *tokens.shape, *width, dtype=torch.float64, requires_grad=True)
    masks = {"0.mlp_neuron": torch.full((1, model.sites["0.mlp_neuron"].size), 0.5, dtype=torch.float64)}
    logits = model.run(tokens, positions=positions, masks=masks, **{lever: {name: value}}).logits
    [gradient] = torch.autograd.grad(logits.square().sum(), value)
    assert all(gradient[0, prompt, : last + 1].any() for prompt, last in enumerate(positions.tolist()))


def test_a_captured_value_has_its_gradient_also_where_its_mask_is_0():
    model = small_model()
    tokens, _ = random_prompts(model)
    grads = []
    for spread in (False, True):
        off = torch.zeros(1, model.sites["0.attn_out"].size, dtype=torch.float64)
        leaf = torch.full((1, model.sites["0.attn_v"].size), 0.5, dtype=torch.float64, requires_grad=True)
        masks = {"0.attn_out": off, "0.attn_v": leaf}
        if spread:
            masks = {site: mask[:, None, None].expand(1, *tokens.shape, -1) for site, mask in masks.items()}
        captured = model.run(tokens, masks=masks, capture=["0.attn_out"]).captured["0.attn_out"]
        grads.append(torch.autograd.grad(captured.square().sum(), leaf)[0])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-9, atol=1e-9)
    assert grads[0].any()


def test_a_baseline_over_positions_and_nodes_is_one():
    model = small_model()
    tokens, _ = random_prompts(model)
    size = model.sites["0.mlp_neuron"].size
    baseline = torch.randn(tokens.shape[1], size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    masks = {"0.mlp_neuron": torch.zeros(1, size, dtype=torch.float64)}
    found = model.run(tokens, masks=masks, baselines={"0.mlp_neuron": baseline}).logits
    expected = model.run(tokens, masks=masks, baselines={"0.mlp_neuron": baseline[None, None]}).logits
    assert found.shape[0] == 1
    assert torch.equal(found, expected)


def test_a_model_that_has_run_can_be_copied_and_pickled(monkeypatch):
    monkeypatch.setattr(matrix, "SMALL", 0)
    model = small_model("weight-sparse")
    tokens, positions = random_prompts(model)
    every = {name: torch.ones(site.size, dtype=torch.bool) for name, site in model.sites.items()}
    logits = model.restrict(every, Ablation()).run(tokens, positions=positions).logits
    model.run(tokens)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        found = other.restrict(every, Ablation()).run(tokens, positions=positions).logits
        assert torch.equal(found, logits)
        other.network.tensors["embed"] += 1
        assert not torch.equal(other.run(tokens, positions=positions).logits, logits)
    torch.testing.assert_close(model.run(tokens, positions=positions).logits, logits, rtol=1e-9, atol=1e-9)


def test_what_is_not_finite_on_one_prompt_stays_there():
    model = small_model()
    tokens = torch.tensor([[1, 2, 3]] + [[4, 2, 3]] * 8)
    scales = model.run(tokens, capture=model.norms).captured
    scales["0.ln_1"] = scales["0.ln_1"].clone()
    scales["0.ln_1"][0, 0] = 0.0
    logits = model.run(tokens, positions=torch.tensor([2] + [1] * 8), norm_scales=scales).logits[0]
    assert not logits[0].isfinite().all()
    assert logits[1:].isfinite().all()


def test_a_weight_that_changes_between_forward_and_backward_is_an_error():
    model = small_model()
    tokens, positions = random_prompts(model)
    mask = torch.full((1, model.sites["0.mlp_neuron"].size), 0.5, dtype=torch.float64, requires_grad=True)
    loss = model.run(tokens, positions=positions, masks={"0.mlp_neuron": mask}).logits.sum()
    model.network.tensors["0.mlp_out.weight"] += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_models_of_half_precision_run(monkeypatch):
    monkeypatch.setattr(matrix, "SMALL", 0)
    model = small_model("weight-sparse", dtype=torch.float16)
    tokens, positions = random_prompts(model)
    masks = {site: torch.ones(1, at.size, dtype=torch.float16) for site, at in model.sites.items()}
    assert model.run(tokens, positions=positions, masks=masks).logits.isfinite().all()


def test_runs_under_inference_mode_leave_nothing_that_later_ones_stumble_on():
    model = small_model()
    tokens, positions = random_prompts(model, prompts=7, width=4)
    with torch.inference_mode():
        model.run(tokens)
    mask = torch.ones(1, model.sites["0.attn_v"].size, dtype=torch.float64, requires_grad=True)
    model.run(tokens, positions=positions, masks={"0.attn_v": mask}).logits.sum().backward()
    assert mask.grad is not None


def test_members_may_ask_for_answers_of_their_own_on_the_same_prompts():
    model = small_model()
    tokens, positions = alike(2)
    both = torch.stack([positions, (positions + 1) % tokens.shape[1]])
    found = model.run(tokens, positions=both).logits
    for member, own in enumerate(both):
        torch.testing.assert_close(found[member], model.run(tokens, positions=own).logits[0], rtol=1e-9, atol=1e-9)


def test_no_prompts_give_no_logits():
    model = small_model()
    assert model.run(torch.zeros(0, 5, dtype=torch.int64)).logits.shape == (1, 0, 5, model.config.vocabulary)
