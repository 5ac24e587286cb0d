"""Attribution patching and integrated gradients: what the formulas say, worked out by hand or by finite differences."""

import pytest
import torch
from faithcheck_circuits.methods.attribution import Attribution
from faithcheck_circuits.methods.gradients import effects
from faithcheck_circuits.methods.integrated_gradients import IntegratedGradients
from hypothesis import given, settings
from hypothesis import strategies as st
from method_problems import ABLATIONS, LinearLoss, constant_masks, gentle_model, problem_of, random_problem, same

from faithcheck.method import Budget

LINEAR = LinearLoss(
    values={"0.attn_out": [[0, 0], [0, 0], [1, 2], [3, 0]], "0.mlp_out": [[5], [5], [5], [5]]},
    weights={"0.attn_out": [[-0.1, 0.05], [0.1, 0.05]], "0.mlp_out": [[-0.02], [0.03]]},
)
TOKENS, CLASSES = [[0, 2, 3], [1, 2, 2]], [0, 1]
BY_HAND = {
    "zero": ([(0.4 + 0.2) / 2, (0.1 + 0.2) / 2], [(0.3 + 0.45) / 2]),
    "resample": ([(0.2 + 0.2) / 2, (0.1 + 0.1) / 2], [0.0]),
    "task_mean": ([(0.1 + 0.1) / 2, (0.05 + 0.05) / 2], [0.0]),
}
"""Summed over positions, the first node's activation is 4 and 2, the second's 2 and 4, the third's 15 and 15. Their
means over the six tokens are 1, 1 and 5."""


def midpoints(steps):
    return [(k + 0.5) / steps for k in range(steps)]


def all_effects(problem, levels):
    """float[prompt, node] over all sites in order."""
    return torch.cat([torch.cat(list(part.values()), 1) for part in effects(problem, levels)])


@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("method", [Attribution(), IntegratedGradients()], ids=lambda m: m.name)
def test_where_the_loss_is_linear_scores_are_the_mean_size_of_what_ablating_a_node_does(method, ablation):
    found = method.extract(problem_of(LINEAR, TOKENS, CLASSES, ablation=ablation)).scores
    assert found["0.attn_out"].tolist() == pytest.approx(BY_HAND[ablation][0], abs=1e-12)
    assert found["0.mlp_out"].tolist() == pytest.approx(BY_HAND[ablation][1], abs=1e-12)


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_where_the_loss_is_linear_the_effects_are_what_leaving_one_node_out_does(ablation):
    problem = problem_of(LINEAR, TOKENS, CLASSES, ablation=ablation)
    one_off = {"0.attn_out": 1 - torch.eye(3)[:, :2].double(), "0.mlp_out": 1 - torch.eye(3)[:, 2:].double()}
    left_out = problem.losses({}) - problem.losses(one_off)
    assert torch.allclose(all_effects(problem, (1.0,)).T, left_out, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norms", ["live", "frozen"])
@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("level", [0.3, 1.0])
def test_the_effects_are_the_derivatives_of_each_prompts_loss(level, ablation, norms):
    problem = random_problem("bigram", ablation=ablation, norms=norms)
    sizes = [site.size for site in problem.model.sites.values()]
    step = 1e-5 * torch.eye(sum(sizes)).double()
    masks = [dict(zip(problem.model.sites, (level + s).split(sizes, 1), strict=True)) for s in (step, -step)]
    above, below = (problem.losses(m) for m in masks)
    expected = ((above - below) / 2e-5).T
    assert torch.allclose(all_effects(problem, (level,)), expected, rtol=1e-5, atol=1e-7)
    assert expected.abs().max() > 1e-3


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10_000),
    variant=st.sampled_from(["plain", "bigram", "one layer", "three layers"]),
    ablation=st.sampled_from(ABLATIONS),
    norms=st.sampled_from(["live", "frozen"]),
    loss=st.sampled_from(["full", "binary"]),
)
def test_in_many_steps_signed_gradients_sum_to_the_loss_of_the_whole_less_that_of_the_ablated_model(
    seed, variant, ablation, norms, loss
):
    """Completeness, prompt by prompt. The error of the midpoint rule falls with the square of the steps, so that of 20
    steps is at most half of what they differ by from 10, give or take what the loss is not smooth."""
    problem = random_problem(variant, seed, make=gentle_model, ablation=ablation, norms=norms, loss=loss)
    whole, ablated = (problem.losses(constant_masks(problem.model, level))[0] for level in (1.0, 0.0))
    coarse, fine = (all_effects(problem, midpoints(steps)).sum(1) for steps in (10, 20))
    assert ((fine - (whole - ablated)).abs() <= (fine - coarse).abs() / 2 + 1e-4).all()
    assert ((fine - coarse).abs() <= 0.02).all()


@pytest.mark.parametrize("steps", [1, 4])
def test_integrated_gradients_are_the_mean_over_equal_steps_up_to_the_whole_model(steps):
    problem = random_problem()
    found = IntegratedGradients(IntegratedGradients.Parameters(steps=steps)).extract(problem)
    by_step = torch.stack([all_effects(problem, (k / steps,)) for k in range(1, steps + 1)])
    assert torch.allclose(found.flat(problem.model), by_step.mean(0).abs().mean(0), rtol=0, atol=1e-12)


def test_one_step_of_integrated_gradients_is_attribution_and_five_are_not():
    problem = random_problem()
    one, usual = (IntegratedGradients(IntegratedGradients.Parameters(steps=steps)) for steps in (1, 5))
    plain = Attribution().extract(problem).scores
    assert same(one.extract(problem).scores, plain)
    assert not same(usual.extract(problem).scores, plain, 1e-3)


@pytest.mark.parametrize("method", [Attribution(), IntegratedGradients()], ids=lambda m: m.name)
def test_scores_do_not_depend_on_how_prompts_are_split(method):
    scores = [
        method.extract(random_problem(prompts=5, ablation="resample", norms="frozen", budget=Budget(memory))).scores
        for memory in (1, 100_000, 1 << 30)
    ]
    assert same(scores[0], scores[2])
    assert same(scores[1], scores[2])


@pytest.mark.parametrize("method", [Attribution(), IntegratedGradients()], ids=lambda m: m.name)
def test_the_models_weights_want_no_gradient_afterwards(method):
    problem = random_problem()
    method.extract(problem)
    assert all(not t.requires_grad and t.grad is None for t in problem.model.network.tensors.values())


def test_a_node_that_nothing_reads_scores_0():
    unread = LinearLoss(values={"0.attn_out": [[1, 1]] * 2}, weights={"0.attn_out": [[0.1, 0]] * 2})
    for method in (Attribution(), IntegratedGradients()):
        assert method.extract(problem_of(unread, [[0], [1]], [0, 1])).scores["0.attn_out"].tolist() == pytest.approx(
            [0.1, 0.0], abs=1e-12
        )
