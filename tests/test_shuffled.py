"""`shuffled(seed)`: the same values in every tensor, in another order, and a model like any other."""

import pytest
import torch
from plain_forward import plain_forward
from small_models import VARIANTS, random_keep, random_prompts, small_model

from faithcheck import load_model, load_task
from faithcheck.ablation import Ablation
from faithcheck.losses import prompt_losses
from faithcheck.prompts import encode

every_variant = pytest.mark.parametrize("variant", VARIANTS)


def tensors(model):
    return model.network.tensors


def same(one, other):
    return all(torch.equal(tensors(one)[name], tensors(other)[name]) for name in tensors(one))


@every_variant
def test_every_tensor_keeps_its_values_and_so_its_zeros(variant):
    model = small_model(variant)
    found = tensors(model.shuffled(3))
    assert list(found) == list(tensors(model))
    for name, tensor in tensors(model).items():
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name].flatten().sort().values, tensor.flatten().sort().values)
        assert int(found[name].count_nonzero()) == int(tensor.count_nonzero())


def test_every_tensor_is_in_another_order():
    """Eight heads: a sink of fewer may well be drawn its own order."""
    model = small_model("bigram", d_head=2)
    found = tensors(model.shuffled(3))
    assert [name for name, tensor in tensors(model).items() if torch.equal(found[name], tensor)] == []


def test_values_move_across_rows_and_columns():
    model = small_model()
    before, after = (tensors(m)["0.mlp_neuron.weight"] for m in (model, model.shuffled(0)))
    for axis in (0, 1):
        assert not torch.equal(before.sort(axis).values, after.sort(axis).values)


def test_the_model_itself_stays_as_it_is():
    model = small_model("all at once")
    before = {name: tensor.clone() for name, tensor in tensors(model).items()}
    other = model.shuffled(0)
    for tensor in tensors(other).values():
        tensor.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(model).items())


def test_a_seed_gives_the_same_model_again_and_another_seed_another():
    model = small_model()
    one, again, other = model.shuffled(1), model.shuffled(1), model.shuffled(2)
    assert same(one, again)
    assert one.fingerprint == again.fingerprint
    assert not any(torch.equal(tensors(one)[n], tensors(other)[n]) for n in tensors(one) if not n.endswith(".sink"))
    assert len({model.fingerprint, one.fingerprint, other.fingerprint}) == 3


def test_random_numbers_drawn_elsewhere_do_not_count():
    model = small_model()
    one = model.shuffled(0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert same(model.shuffled(0), one)
    assert torch.equal(torch.get_rng_state(), before)


def ranks(tensor):
    """Where each value stands among the tensor's values: the order, whatever the values are."""
    return tensor.flatten().argsort()


def test_the_order_depends_on_the_seed_and_the_tensors_name_alone():
    """Ascending values show the order: the same in a model of other values, more tensors and another dtype."""
    plain, more = small_model(), small_model("bigram", seed=9, dtype=torch.float32)
    for model in (plain, more):
        for tensor in tensors(model).values():
            tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape))
    one, other = tensors(plain.shuffled(4)), tensors(more.shuffled(4))
    assert all(torch.equal(ranks(one[name]), ranks(other[name])) for name in one)
    orders = [ranks(one[f"{layer}.attn_{kind}.weight"]) for layer in (0, 1) for kind in ("q", "k", "v", "out")]
    assert len({tuple(order.tolist()) for order in orders}) == len(orders)


def test_it_has_another_name_and_otherwise_the_same_surface():
    model = small_model("all at once", dtype=torch.float32)
    model.sample_text = ("w1 w2",)
    found = model.shuffled(3)
    assert found.name == "all at once 0, weights shuffled by seed 3"
    assert (found.config, found.norms, found.sample_text) == (model.config, model.norms, ("w1 w2",))
    assert found.tokenizer is model.tokenizer
    assert found.sites == model.sites
    assert list(found.sites) == list(model.sites)
    for name, site in model.sites.items():
        assert site.head is None or torch.equal(found.sites[name].head, site.head)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_it_is_on_the_models_device_in_its_dtype_and_the_same_there(device, dtype):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")
    model = small_model(dtype=dtype)
    on_cpu = model.shuffled(0)
    moved = type(model)("moved", model.config, {n: t.to(device) for n, t in tensors(model).items()}, model.tokenizer)
    found = moved.shuffled(0)
    assert (found.device.type, found.dtype) == (device, dtype)
    assert {(t.device.type, t.dtype) for t in tensors(found).values()} == {(device, dtype)}
    assert found.fingerprint == on_cpu.fingerprint
    tokens, positions = random_prompts(model)
    assert found.run(tokens.to(device), positions=positions.to(device)).logits.device.type == device


def test_weights_that_take_gradients_leave_none_on_the_shuffled_model():
    model = small_model()
    model.network.tensors.update({name: tensor.requires_grad_() for name, tensor in tensors(model).items()})
    assert not any(tensor.requires_grad for tensor in tensors(model.shuffled(0)).values())


@every_variant
def test_it_runs_as_its_tensors_say(variant):
    model = small_model(variant).shuffled(1)
    tokens, _ = random_prompts(model)
    expected = torch.as_tensor(plain_forward(model, tokens).logits)
    assert (model.run(tokens).logits - expected).abs().max() <= 1e-10 * max(1.0, float(expected.abs().max()))


@every_variant
def test_the_laws_hold(variant):
    model = small_model(variant).shuffled(1)
    tokens, positions = random_prompts(model)
    run = model.run(tokens, capture=model.norms)
    all_on = {site: torch.ones(1, at.size, dtype=torch.float64) for site, at in model.sites.items()}
    assert torch.equal(model.run(tokens, masks=all_on).logits, run.logits)
    assert torch.equal(model.run(tokens, norm_scales=run.captured).logits, run.logits)
    keep = random_keep(model)
    masked = model.run(tokens, positions=positions, masks={s: k[None].double() for s, k in keep.items()}).logits
    restricted = model.restrict(keep, Ablation()).run(tokens, positions=positions).logits
    assert (masked - restricted).abs().max() <= 1e-10 * max(1.0, float(masked.abs().max()))


@pytest.mark.parametrize("task", ["pronoun", "questions"])
def test_a_bundled_model_does_no_task_with_its_weights_shuffled(task):
    model = load_model("stories-tiny")
    prompts = encode(load_task(task), "test", model.tokenizer)
    for seed in range(3):
        logits = model.shuffled(seed).run(prompts.tokens, positions=prompts.positions).logits
        assert float(prompt_losses(logits, prompts.targets, prompts.distractors, "full").mean()) > 2
