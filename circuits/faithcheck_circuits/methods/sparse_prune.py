"""Mask pruning after Gao et al. 2025, appendix A.5: one threshold parameter per node, trained under a size penalty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from faithcheck import parameters

if TYPE_CHECKING:
    from faithcheck.circuit import NodeScores
    from faithcheck.method import Problem
    from faithcheck_circuits.methods.mask_training import Trained


class SparsePrune:
    """Trains a mask over the nodes, loss + k_coef x kept nodes, and scores each node by its threshold parameter.

    Each problem is pruned once for every penalty of the sweep, `k_coef` times a factor; the scores that give the
    smallest circuit on the train prompts are returned. Problems with the same prompts and seed (a task and its
    controls) run as members of one batch.
    """

    name = "sparse_prune"

    class Parameters(parameters.Parameters):
        steps: int = Field(400, gt=0, description="optimiser steps per penalty")
        k_coef: float = Field(1e-3, gt=0, description="penalty per kept node, in nats")
        sweep: tuple[float, ...] = Field((1.0, 0.1), min_length=1, description="factors on k_coef")
        lr: float = Field(2e-2, gt=0, description="learning rate at the first step; decays linearly to 0")
        beta2: float = Field(0.95, gt=0, lt=1)
        weight_decay: float = Field(1e-3, ge=0)
        init_noise_bias: float = Field(0.1, ge=-1, le=1)
        init_noise_scale: float = Field(1e-2, ge=0)
        heaviside_temp: float = Field(1.0, gt=0, description="width of the backward sigmoid")
        batch: int = Field(64, gt=0, description="prompts per step")
        full_every: int = Field(
            8,
            gt=0,
            description="full gradients at every n-th step; 1 is the plain algorithm without an active set",
        )

    def __init__(self, values: SparsePrune.Parameters | None = None):
        self.parameters = values or self.Parameters()

    def extract(self, problem: Problem) -> NodeScores:
        return self.extract_many([problem])[0]

    def extract_many(self, problems: Sequence[Problem]) -> list[NodeScores]:
        from faithcheck_circuits.methods.mask_training import together, train_masks

        scores: dict[int, NodeScores] = {}
        for group in together(problems):
            runs = [(problem, factor) for problem in group for factor in self.parameters.sweep]
            trained = train_masks(runs, self.parameters)
            width = len(self.parameters.sweep)
            for i, problem in enumerate(group):
                scores[id(problem)] = _best(problem, trained[i * width : (i + 1) * width])
        return [scores[id(problem)] for problem in problems]


def _best(problem: Problem, sweep: Sequence[Trained]) -> NodeScores:
    """The scores that reach the target with the fewest nodes on the train prompts, else those of the lowest loss."""
    from faithcheck.circuit import NodeScores
    from faithcheck.cutting import Cutter
    from faithcheck.scales import norm_scales

    scales = norm_scales(problem.model, problem.prompts) if problem.norms == "frozen" else None
    cutter = Cutter(problem.model, problem.prompts, problem.loss, problem.target_loss, problem.ablation, scales)
    cuts = [cutter.cut(NodeScores(trained.scores), whole_curve=False) for trained in sweep]
    best = min(
        range(len(cuts)),
        key=lambda i: (not cuts[i].reached, cuts[i].size if cuts[i].reached else cuts[i].loss),
    )
    weakest = min(sweep, key=lambda trained: trained.factor)
    return NodeScores(sweep[best].scores, weakest.convergence(problem.target_loss))
