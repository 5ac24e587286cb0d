"""What attribution and integrated gradients share: gradients of the loss towards the masks.

Under x <- m x + (1 - m) b the gradient of the loss with respect to m is (x - b) . dL/dx, summed over the positions at
which m acts. At m = 1 that is attribution patching's estimate of what ablating a node does, with the sign turned: one
backward pass gives it for every node, whatever the ablation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from faithcheck.circuit import NodeScores
from faithcheck.method import Problem
from faithcheck_circuits.methods.chunks import chunks


def effects(problem: Problem, levels: Sequence[float]) -> Iterator[dict[str, Tensor]]:
    """The mean over `levels` of the gradient of each prompt's loss towards each node's mask, all masks at that level.

    {site: float[prompt, node]}, in nats, of as many prompts at a time as fit into the problem's memory.
    """
    model = problem.model
    for prompts in chunks(problem):
        # A mask for each prompt of its own, [member, prompt, pos, node], gives each prompt's gradient.
        ones = {
            name: torch.ones(1, len(prompts), 1, site.size, dtype=model.dtype, device=model.device)
            for name, site in model.sites.items()
        }
        total = {name: torch.zeros_like(one[0, :, 0]) for name, one in ones.items()}
        for level in levels:
            masks = {name: (level * one).requires_grad_() for name, one in ones.items()}
            losses = problem.losses(masks, prompts)
            found = torch.autograd.grad(losses.sum(), list(masks.values()), allow_unused=True, materialize_grads=True)
            for name, gradient in zip(total, found, strict=True):
                total[name] += gradient[0, :, 0] / len(levels)
        yield total


def mean_size(problem: Problem, levels: Sequence[float]) -> NodeScores:
    """The mean over the prompts of the absolute value of `effects`."""
    totals = {name: torch.zeros(at.size, dtype=torch.float64) for name, at in problem.model.sites.items()}
    for part in effects(problem, levels):
        for name, effect in part.items():
            totals[name] += effect.abs().sum(0).cpu()
    return NodeScores({name: total / len(problem.prompts) for name, total in totals.items()})
