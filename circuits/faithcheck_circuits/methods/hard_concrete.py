"""L0 masks: hard concrete gates on the nodes (Louizos et al. 2018)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field, PositiveFloat

from faithcheck import parameters

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.circuit import NodeScores
    from faithcheck.method import Problem

LOW, HIGH = -0.1, 1.1
"""Gates are stretched to this interval before they are cut to [0, 1]: gamma and zeta in the paper's experiments."""
TEMPERATURE = 2 / 3
"""beta in the paper's experiments."""


class HardConcrete:
    """Trains a random gate for each node, under a penalty on how many gates are expected not to be 0.

    Louizos et al. 2018, "Learning sparse neural networks through L0 regularization", equations 10 to 13: with u uniform
    in (0, 1), s = sigmoid((log u - log(1 - u) + log alpha) / beta), the gate is z = min(1, max(0, s (zeta - gamma) +
    gamma)), and it is not 0 with probability sigmoid(log alpha - beta log(-gamma / zeta)). Of a trained network the
    gates are z = min(1, max(0, sigmoid(log alpha) (zeta - gamma) + gamma)). Cao et al. 2021, "Low-complexity probing
    via finding subnetworks", train such masks over a frozen model's weights; here they are over nodes.

    log alpha is trained with Adam on minibatches, once for every penalty of the sweep, `penalty` times a factor, on
    four fifths of the train prompts' frames; the scores that need the fewest nodes on the other frames are returned.
    The score of a node is its gate before it is cut to [0, 1], in (gamma, zeta): positive where the node is on, and
    still an order among those that are not.
    """

    name = "hard_concrete"

    class Parameters(parameters.Parameters):
        steps: int = Field(300, gt=0, description="optimiser steps")
        penalty: float = Field(1e-2, ge=0, description="for each node expected to be on, in nats")
        sweep: tuple[PositiveFloat, ...] = Field((1.0, 0.1), min_length=1, description="factors on penalty")
        lr: float = Field(0.2, gt=0, description="learning rate of Adam")
        start: float = Field(3.0, description="log alpha at first; a gate is then 0 with a probability of 1 %")
        batch: int = Field(64, gt=0, description="prompts per step")

    def __init__(self, values: HardConcrete.Parameters | None = None):
        self.parameters = values or self.Parameters()

    def extract(self, problem: Problem) -> NodeScores:
        from dataclasses import replace

        from faithcheck.circuit import NodeScores
        from faithcheck_circuits.methods.penalties import parts, smallest

        fit, held_out = parts(problem)
        penalties = [self.parameters.penalty * factor for factor in self.parameters.sweep]
        trained = [self._trained(replace(problem, prompts=fit), penalty) for penalty in penalties]
        return NodeScores(trained[smallest(replace(problem, prompts=held_out), trained)])

    def _trained(self, problem: Problem, penalty: float) -> dict[str, Tensor]:
        """The scores under one penalty, {site: float[node]}."""
        import torch

        from faithcheck_circuits.methods.chunks import chunks

        model, p = problem.model, self.parameters
        sizes = [site.size for site in model.sites.values()]
        generator = torch.Generator().manual_seed(problem.seed)
        log_alpha = torch.full((sum(sizes),), p.start, dtype=model.dtype, device=model.device, requires_grad=True)
        optimiser = torch.optim.Adam([log_alpha], lr=p.lr)
        for _ in range(p.steps):
            noise = torch.rand(len(log_alpha), generator=generator).to(log_alpha)
            drawn = torch.randint(len(problem.prompts), (p.batch,), generator=generator)
            optimiser.zero_grad()
            (penalty * probability_on(log_alpha).sum()).backward()
            for prompts in chunks(problem, problem.prompts.select(drawn.to(model.device))):
                masks = dict(zip(model.sites, gates(log_alpha, noise)[None].split(sizes, dim=1), strict=True))
                (problem.losses(masks, prompts).sum() / p.batch).backward()
            optimiser.step()
        scores = stretched(log_alpha.detach().sigmoid()).cpu().split(sizes)
        return dict(zip(model.sites, scores, strict=True))


def stretched(s: Tensor) -> Tensor:
    """From (0, 1) to (LOW, HIGH)."""
    return s * (HIGH - LOW) + LOW


def gates(log_alpha: Tensor, noise: Tensor) -> Tensor:
    """Random gates in [0, 1] of noise in (0, 1), float[node]."""
    noise = noise.clamp(1e-6, 1 - 1e-6)
    return stretched(((noise.logit() + log_alpha) / TEMPERATURE).sigmoid()).clamp(0, 1)


def probability_on(log_alpha: Tensor) -> Tensor:
    """How likely a gate is not 0, float[node]."""
    return (log_alpha - TEMPERATURE * math.log(-LOW / HIGH)).sigmoid()
