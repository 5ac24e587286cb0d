"""Gradients through masks and baselines match central finite differences (in float64)."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_models import VARIANTS, random_keep, random_prompts, small_model

from faithcheck.ablation import Ablation

STEP, TOLERANCE = 1e-5, 1e-6
"""The third derivatives here are below 1e3, so a central difference is off by some 1e-8; rounding adds 1e-11."""


def point(model, seed, members=2):
    """Masks strictly between 0 and 1 and baselines at every site, with a random direction in each."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    masks = {site: 0.1 + 0.8 * draw(members, at.size) for site, at in model.sites.items()}
    baselines = {site: draw(1, 1, 1, at.size) - 0.5 for site, at in model.sites.items()}
    directions = [{site: draw(*v.shape) - 0.5 for site, v in part.items()} for part in (masks, baselines)]
    return (masks, baselines), directions


def loss_at(model, levers, seed):
    tokens, positions = random_prompts(model, seed)
    masks, baselines = levers
    logits = model.run(tokens, positions=positions, masks=masks, baselines=baselines).logits
    return logits.log_softmax(-1)[..., 3].mean()


def chosen(model, levers, seed):
    """Which activations the model's top-k leaves on."""
    captured = model.run(random_prompts(model, seed)[0], masks=levers[0], baselines=levers[1], capture=model.sites)
    return [captured.captured[site] != 0 for site in model.sites]


def moved(part, direction, step):
    return {site: value + step * direction[site] for site, value in part.items()}


def check_slope(model, seed, which):
    """The slope along a direction in the masks (which 0) or the baselines (1)."""
    levers, directions = point(model, seed)
    levers = [{site: v.requires_grad_() for site, v in part.items()} for part in levers]
    loss_at(model, levers, seed).backward()
    slope = sum((v.grad * directions[which][site]).sum() for site, v in levers[which].items())
    with torch.no_grad():
        both = [[moved(p, directions[i], s * (i == which)) for i, p in enumerate(levers)] for s in (STEP, -STEP)]
        if model.config.activation_topk is not None:  # it jumps where another node comes among the largest
            assume(all(map(torch.equal, *(chosen(model, end, seed) for end in both))))
        ends = [loss_at(model, end, seed) for end in both]
    numeric = (ends[0] - ends[1]) / (2 * STEP)
    assert abs(slope - numeric) <= TOLERANCE * max(1.0, abs(float(numeric)))
    assert numeric.abs() > 1e-9


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("which", [0, 1], ids=["masks", "baselines"])
@given(seed=st.integers(0, 2**20))
@settings(max_examples=3, deadline=None)
def test_the_slope_along_a_random_direction_is_the_finite_difference(variant, which, seed):
    check_slope(small_model(variant, seed % 7), seed, which)


@pytest.mark.parametrize("variant", ["plain", "top-k"])
@pytest.mark.parametrize("which", [0, 1], ids=["masks", "baselines"])
@given(seed=st.integers(0, 2**20))
@settings(max_examples=3, deadline=None)
def test_so_it_is_in_a_restricted_model(variant, which, seed):
    model = small_model(variant, seed % 7)
    keep = random_keep(model, seed, members=2, shares=(0.4, 0.9))
    check_slope(model.restrict(keep, Ablation(), trainable=True), seed, which)


def test_the_gradient_of_each_node_is_its_own_finite_difference():
    model = small_model("one layer")
    levers, _ = point(model, 4, members=1)
    masks = {site: v.requires_grad_() for site, v in levers[0].items()}
    loss_at(model, (masks, levers[1]), 4).backward()
    for site, mask in masks.items():
        ends = []
        for sign in (STEP, -STEP):
            rows = mask.detach() + sign * torch.eye(mask.shape[1], dtype=torch.float64)
            others = {s: m.detach() for s, m in masks.items()} | {site: rows}
            ends.append(_per_member(model, others, levers[1]))
        numeric = (ends[0] - ends[1]) / (2 * STEP)
        assert (mask.grad[0] - numeric).abs().max() <= TOLERANCE


def _per_member(model, masks, baselines):
    tokens, positions = random_prompts(model, 4)
    with torch.no_grad():
        logits = model.run(tokens, positions=positions, masks=masks, baselines=baselines).logits
    return logits.log_softmax(-1)[..., 3].mean(-1)
