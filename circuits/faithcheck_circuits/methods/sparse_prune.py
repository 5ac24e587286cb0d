"""Mask pruning after Gao et al. 2025, appendix A.5: one threshold parameter per node, trained under a size penalty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field, PositiveFloat

from faithcheck import parameters

if TYPE_CHECKING:
    from faithcheck.circuit import NodeScores
    from faithcheck.method import Problem
    from faithcheck_circuits.methods.trained import Trained


class SparsePrune:
    """Trains a mask over the nodes under a size penalty, and scores each node by its threshold parameter.

    Each problem is pruned once for every penalty of the sweep, `k_coef` times a factor, on four fifths of the prompts'
    frames; the scores that need the fewest nodes on the other frames are returned. Problems on the same prompts (a task
    and its controls, several seeds) run as members of batches.
    """

    name = "sparse_prune"

    class Parameters(parameters.Parameters):
        steps: int = Field(300, gt=0, description="optimiser steps per penalty")
        k_coef: float = Field(3e-3, gt=0, description="penalty per kept node, in nats")
        sweep: tuple[PositiveFloat, ...] = Field((1.0, 0.1), min_length=1, description="factors on k_coef")
        lr: float = Field(1e-2, gt=0, description="learning rate at the first step; decays linearly to 0")
        beta2: float = Field(0.95, gt=0, lt=1)
        weight_decay: float = Field(1e-3, ge=0)
        init_noise_bias: float = Field(0.1, ge=-1, le=1)
        init_noise_scale: float = Field(1e-2, ge=0)
        heaviside_temp: float = Field(1.0, gt=0, description="width of the backward sigmoid")
        batch: int = Field(64, gt=0, description="prompts per step")
        full_every: int = Field(2, gt=0, description="most steps from one full gradient to the next; 1: no active set")

    def __init__(self, values: SparsePrune.Parameters | None = None):
        self.parameters = values or self.Parameters()

    def extract(self, problem: Problem) -> NodeScores:
        return self.extract_many([problem])[0]

    def extract_many(self, problems: Sequence[Problem]) -> list[NodeScores]:
        from faithcheck_circuits.methods.batches import together

        scores: dict[int, NodeScores] = {}
        for group in together(problems):
            scores |= zip(map(id, group), self._pruned(group), strict=True)
        return [scores[id(problem)] for problem in problems]

    def _pruned(self, group: Sequence[Problem]) -> list[NodeScores]:
        """Of one group of `together`."""
        from dataclasses import replace
        from functools import partial

        from faithcheck_circuits.methods.batches import train_masks, workers
        from faithcheck_circuits.methods.penalties import parts
        from faithcheck_circuits.methods.workers import side_by_side

        fit, held_out = zip(*map(parts, group), strict=True)
        factors = self.parameters.sweep
        runs = [(replace(p, prompts=part), f) for p, part in zip(group, fit, strict=True) for f in factors]
        trained = train_masks(runs, self.parameters)
        choices = [
            partial(_best, replace(p, prompts=part), trained[i * len(factors) : (i + 1) * len(factors)])
            for i, (p, part) in enumerate(zip(group, held_out, strict=True))
        ]
        return side_by_side(choices, workers(runs, self.parameters))


def _best(problem: Problem, sweep: Sequence[Trained]) -> NodeScores:
    """The scores of `penalties.smallest`, and how the weakest penalty's training ended."""
    from faithcheck.circuit import NodeScores
    from faithcheck_circuits.methods.penalties import smallest

    best = sweep[smallest(problem, [trained.scores for trained in sweep])]
    weakest = min(sweep, key=lambda trained: trained.factor)
    return NodeScores(best.scores, weakest.convergence(problem.target_loss))
