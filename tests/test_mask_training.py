"""One step of training masks: the loss it sees, the update it makes, and compact steps beside full ones."""

import math

import pytest
import torch
from faithcheck_circuits.methods import mask_training
from faithcheck_circuits.methods.batches import train_masks
from faithcheck_circuits.methods.mask_training import MaskTraining
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_forward import plain_forward
from small_pruning import MODEL, NODES, TRAIN, doubled, method, problem, relabelled


def one_prompt_runs(norms, **parameters):
    """One step on copies of one prompt, with about half of the nodes on; the loss it saw, and what it ends with."""
    same = TRAIN.select(torch.zeros(8, dtype=torch.int64))
    values = {"steps": 1, "init_noise_bias": 0.0, "init_noise_scale": 0.1, **parameters}
    [run] = train_masks([(problem(prompts=same, norms=norms), 1.0)], method(**values).parameters)
    noise = 0.1 * torch.randn(NODES, generator=torch.Generator().manual_seed(0))
    return run, same, dict(zip(MODEL.sites, noise.split([at.size for at in MODEL.sites.values()]), strict=True))


@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_norms_are_live_or_frozen_to_the_whole_models_scales_as_the_problem_asks(norms):
    run, prompts, start = one_prompt_runs(norms)
    tokens, target = prompts.tokens[:1], int(prompts.targets[0])
    whole = plain_forward(MODEL, tokens).captured
    scales = {norm: torch.as_tensor(whole[norm]) for norm in MODEL.norms} if norms == "frozen" else {}
    masks = {site: (tau >= 0)[None].double() for site, tau in start.items()}
    logits = plain_forward(MODEL, tokens, masks, scales=scales).logits[0, 0, 3]
    expected = math.log(sum(math.exp(x) for x in logits)) - logits[target]
    assert float(run.losses[0]) == pytest.approx(expected, rel=1e-5)
    assert int(run.nodes[0]) == sum(int((tau >= 0).sum()) for tau in run.scores.values())


def test_frozen_and_live_norms_are_not_the_same_question():
    losses = [float(one_prompt_runs(norms)[0].losses[0]) for norms in ("live", "frozen")]
    assert abs(losses[0] - losses[1]) > 0.01


def test_the_first_step_of_adamw_decays_each_parameter_and_moves_it_by_the_learning_rate():
    run, _, start = one_prompt_runs("live", lr=0.02, weight_decay=0.5)
    for site, tau in start.items():
        step = run.scores[site] - tau * (1 - 0.02 * 0.5)
        torch.testing.assert_close(step.abs(), torch.full_like(step, 0.02), rtol=1e-3, atol=0)


def test_a_penalty_that_outweighs_the_loss_lowers_every_parameter():
    run, _, start = one_prompt_runs("live", lr=0.02, weight_decay=0.0, k_coef=1e4)
    assert all((run.scores[site] < tau).all() for site, tau in start.items())


HEAVY = {"k_coef": 1e7, "weight_decay": 0.0}
"""A penalty beside which the loss does not count: the gradient of tau is k_coef s (1 - s) / temperature."""


def test_the_learning_rate_falls_to_0_in_equal_steps():
    """Under a constant gradient Adam moves by the learning rate: in all by lr (1 + 3/4 + 2/4 + 1/4)."""
    values = {"steps": 4, "lr": 0.02, "heaviside_temp": 1e3, "init_noise_bias": 0.5, "full_every": 1, **HEAVY}
    [run] = train_masks([(problem(), 1.0)], method(**values).parameters)
    noise = torch.randn(NODES, generator=torch.Generator().manual_seed(0))
    moved = 0.5 + 0.01 * noise - torch.cat(list(run.scores.values()))
    torch.testing.assert_close(moved, torch.full_like(moved, 0.02 * 2.5), rtol=1e-3, atol=0)


def training(tau, members=3, norms="live", **parameters):
    """Three problems on the model in double precision: gradients of four small numbers cancel in single precision."""
    runs = [(p, 1.0) for p in relabelled(norms=norms, model=doubled(MODEL))[:members]]
    state = MaskTraining(runs, method(**parameters).parameters)
    state.tau[:, :-1] = tau
    return state


def step(state, groups, number=0):
    """The losses of one step of these groups, float[member]."""
    losses = state.tau.new_empty(len(state.tau))
    for group in groups:
        state._step(group, group.prompts(number), 0.02, losses)
    return losses


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_backward_pass_is_a_sigmoids_derivative_clipped_to_a_root_mean_square_of_1(temperature):
    tau = torch.linspace(-0.9, 0.9, NODES).double()
    state = training(tau, members=1, heaviside_temp=temperature, **HEAVY)
    step(state, state._whole([0]))
    gradient = state.mean[0, :-1] / 0.1
    s = torch.sigmoid(tau / temperature)
    expected = s * (1 - s) / (s * (1 - s)).square().mean().sqrt()
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=0)
    assert float(gradient.square().mean()) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("norms", ["live", "frozen"])
@pytest.mark.parametrize("seed", [0, 1])
def test_compact_steps_are_full_steps_for_the_nodes_that_are_on(monkeypatch, seed, share, norms):
    """The gradients' running means and squares, after two steps on different prompts; without the clip, whose norm
    takes in the nodes that are off on full steps only."""
    monkeypatch.setattr(mask_training, "_clip_rms", lambda grad, total: grad)
    generator = torch.Generator().manual_seed(seed)
    size = 0.1 + torch.rand(3, NODES, generator=generator)
    start = torch.where(torch.rand(3, NODES, generator=generator) < share, size, -size).clamp(-1, 1)
    compact, full = training(start, norms=norms), training(start, norms=norms)
    on, before = start >= 0, compact.tau.clone()
    for number in (0, 1):
        expected = step(full, full._whole([0, 1, 2]), number)
        found = step(compact, [compact._restricted([0, 1, 2], on)], number)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    for name in ("mean", "square", "count", "tau"):
        found, expected = (getattr(state, name)[:, :-1][on] for state in (compact, full))
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9 * float(expected.abs().max()))
    assert torch.equal(compact.tau[:, :-1][~on], before[:, :-1][~on])
    assert (compact.tau[:, -1] == -1).all()


def test_a_member_is_clipped_alike_whatever_members_it_steps_with():
    on = torch.arange(NODES) < torch.tensor([[30], [40]])
    together, alone = (training(torch.where(on, 0.5, -0.5), members=2, **HEAVY) for _ in range(2))
    step(together, [together._restricted([0, 1], on)])
    step(alone, [alone._restricted([i], on) for i in range(2)])
    torch.testing.assert_close(together.mean[:, :-1], alone.mean[:, :-1], rtol=1e-9, atol=1e-12)


def test_members_that_are_idle_stay_as_they_are():
    on = torch.arange(NODES) < torch.tensor([[30], [40], [50]])
    state, all_step = (training(torch.where(on, 0.5, -0.5)) for _ in range(2))
    losses = torch.full((3,), 7.0, dtype=torch.float64)
    group = state._restricted([0, 1, 2], on)
    before = state.tau.clone()
    state._step(group, group.prompts(0), 0.02, losses, idle=[1])
    expected = step(all_step, [all_step._restricted([0, 1, 2], on)])
    assert torch.equal(state.tau[1], before[1])
    assert losses.tolist() == [expected[0], 7.0, expected[2]]
    assert torch.equal(state.tau[[0, 2]], all_step.tau[[0, 2]])
    state._step(group, group.prompts(0), 0.02, losses, idle=[0, 1, 2])
    assert torch.equal(state.tau[[0, 2]], all_step.tau[[0, 2]])


def updated(tau, grads, lr, steps=None):
    """A member's state after updates of all its nodes with these gradients."""
    state = training(tau, members=1, weight_decay=0.0)
    every = torch.arange(NODES)[None]
    for grad in grads:
        state._update(torch.tensor([0]), every, state.tau[:, :-1], grad, lr, steps)
    return state


def test_a_step_that_stands_for_several_is_as_many_with_the_same_gradient():
    generator = torch.Generator().manual_seed(0)
    tau = torch.rand(1, NODES, generator=generator).double() / 2 - 0.25
    grad = torch.randn(1, NODES, generator=generator).double().sign() * 3  # beside which Adam's epsilon is nothing
    once = updated(tau, [grad], 0.02, torch.full((1, NODES), 4))
    each = updated(tau, 4 * [grad], 0.02)
    for name in ("mean", "square", "count", "tau"):
        torch.testing.assert_close(getattr(once, name), getattr(each, name), rtol=1e-7, atol=1e-9)


@given(seed=st.integers(0, 2**31), steps=st.integers(1, 8), growth=st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_no_step_moves_a_node_much_further_than_the_learning_rate(seed, steps, growth):
    """By the Cauchy-Schwarz inequality by 1.17 of it at most, of running means with decays of 0.9 and 0.95: gradients
    that grow or shrink by `growth` powers of e from one to the next."""
    generator = torch.Generator().manual_seed(seed)
    grads = [torch.randn(1, NODES, generator=generator).double() * math.exp(growth * i) for i in range(6)]
    tau = torch.zeros(1, NODES, dtype=torch.float64)
    before, after = (updated(tau, some, 0.01, torch.full((1, NODES), steps)).tau for some in (grads[:-1], grads))
    assert float((after - before).abs().max()) <= 1.17 * 0.01 * steps
