"""How much of a problem is run at once, so that it fits into its memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from faithcheck.method import Problem
from faithcheck.prompts import PromptSet

FLOATS = 4
"""Floats that a run with a backward pass holds at each node and position of a prompt: the activation, what the mask
makes of it, its gradient, and what it takes when ablated."""


def at_once(problem: Problem) -> int:
    """How many prompts fit into the problem's memory under one mask, or masks on one prompt; at least 1."""
    nodes = sum(site.size for site in problem.model.sites.values())
    held = FLOATS * problem.model.dtype.itemsize * nodes * problem.prompts.tokens.shape[1]
    return max(1, problem.budget.memory // held)


def chunks(problem: Problem, prompts: PromptSet | None = None) -> Iterator[PromptSet]:
    """Some of the problem's prompts, all by default, in parts that fit into its memory under one mask."""
    prompts = problem.prompts if prompts is None else prompts
    rows = torch.arange(len(prompts), device=prompts.tokens.device)
    for part in rows.split(at_once(problem)):
        yield prompts.select(part)


def mean_losses(problem: Problem, masks: Mapping[str, Tensor], prompts: PromptSet) -> Tensor:
    """float64[member]: the mean loss over the prompts under each member's masks, {site: float[member or 1, node]}.

    A site where members share a mask has one row: up to the first site where they differ they are computed as one.
    """
    members = max(map(len, masks.values()), default=1)
    total = torch.zeros(members, dtype=torch.float64)
    for part in chunks(problem, prompts):
        for some in torch.arange(members).split(max(1, at_once(problem) // len(part))):
            rows = {site: mask if len(mask) == 1 else mask[some.to(mask.device)] for site, mask in masks.items()}
            with torch.no_grad():
                total[some] += problem.losses(rows, part).sum(1).cpu()
    return total / len(prompts)
