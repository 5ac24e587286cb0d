"""Which runs train together: members of one batch, and batches side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import torch

from faithcheck.method import Problem
from faithcheck_circuits.methods.mask_training import MaskTraining
from faithcheck_circuits.methods.trained import Trained
from faithcheck_circuits.methods.workers import side_by_side

if TYPE_CHECKING:
    from faithcheck_circuits.methods.sparse_prune import SparsePrune

CPU_WIDTH = 4
"""Members of a batch on a CPU: more of them save little, and leave fewer batches to run side by side."""

WORTH = 2_000_000
"""From this many steps times nodes on, several seconds' work, worker processes are started."""

Run = tuple[Problem, float]
"""A problem, and a factor on k_coef."""


def together(problems: Sequence[Problem]) -> list[list[Problem]]:
    """Problems that can share batches: same model, prompts, loss, ablation and norms.

    The same seed too, unless the model runs each member on prompts of its own.
    """
    groups: dict[tuple[object, ...], list[Problem]] = {}
    for p in problems:
        seed = None if getattr(p.model, "own_prompts", False) else p.seed
        ablation = (p.ablation, id(p.ablation.means))
        groups.setdefault((p.model.fingerprint, p.prompts.texts, seed, p.loss, ablation, p.norms), []).append(p)
    return list(groups.values())


def train_masks(runs: Sequence[Run], parameters: SparsePrune.Parameters) -> list[Trained]:
    """Train one mask for each (problem, factor on k_coef); the problems are of one group of `together`.

    What is batched depends on the runs and their memory budget alone, never on how many cores there are. On a CPU
    batches run side by side in worker processes, one thread each, where that pays.
    """
    batches = _batches(runs, parameters)
    jobs = [partial(_train, [runs[i] for i in batch], parameters) for batch in batches]
    found = side_by_side(jobs, workers(runs, parameters))
    by_run = dict(zip(chain.from_iterable(batches), chain.from_iterable(found), strict=True))
    return [by_run[i] for i in range(len(runs))]


def _train(runs: Sequence[Run], parameters: SparsePrune.Parameters) -> list[Trained]:
    return MaskTraining(runs, parameters).train()


def workers(runs: Sequence[Run], parameters: SparsePrune.Parameters) -> int:
    """How many processes to work in: on a CPU, with a model that can be sent to them, up to one a batch, where training
    takes longer than to start them; else one."""
    model = runs[0][0].model
    work = sum(site.size for site in model.sites.values()) * parameters.steps * len(runs)
    if model.device.type != "cpu" or not getattr(model, "portable", False) or work < WORTH:
        return 1
    return min(torch.get_num_threads(), math.ceil(len(runs) / _at_once(runs[0][0], parameters.batch)))


def _batches(runs: Sequence[Run], parameters: SparsePrune.Parameters) -> list[list[int]]:
    """Places in `runs`: those of the same seed in a row, for they are on the same prompts; whatever their order was."""
    width = _at_once(runs[0][0], parameters.batch)

    def place(i: int) -> tuple[int, list[int], float]:
        problem, factor = runs[i]
        return problem.seed, problem.prompts.targets.tolist(), factor

    order = sorted(range(len(runs)), key=place)
    return [order[start : start + width] for start in range(0, len(order), width)]


def _at_once(problem: Problem, batch: int) -> int:
    """Members of a full step, which holds about three floats a node, prompt and position for the backward pass."""
    nodes = sum(site.size for site in problem.model.sites.values())
    fit = problem.budget.memory // (3 * problem.model.dtype.itemsize * nodes * batch * problem.prompts.tokens.shape[1])
    return max(1, min(fit, CPU_WIDTH) if problem.model.device.type == "cpu" else fit)
