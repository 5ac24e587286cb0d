"""Greedy backward elimination over nodes, after ACDC (Conmy et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from faithcheck import parameters

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.circuit import NodeScores
    from faithcheck.method import Problem
    from faithcheck.prompts import PromptSet


class Greedy:
    class Parameters(parameters.Parameters):
        levels: tuple[float, ...] = Field((0.25, 0.5, 0.75, 1.0), min_length=1)
        group: int = Field(64, gt=0, description="nodes that are tried together at first; halved where they are needed")
        prompts: int = Field(64, gt=0, description="train prompts, drawn by the seed, on which the loss is taken")

    name = "greedy"

    def __init__(self, values: Greedy.Parameters | None = None):
        self.parameters = values or self.Parameters()

    def extract(self, problem: Problem) -> NodeScores:
        import torch

        from faithcheck.circuit import NodeScores

        search = _Search(problem, _drawn(problem, self.parameters.prompts), self.parameters.group)
        survived = {name: torch.zeros(at.size, dtype=torch.float64) for name, at in problem.model.sites.items()}
        room = max(problem.target_loss - search.loss, 0.0)
        whole = search.loss
        for level in sorted(self.parameters.levels):
            search.eliminate(whole + level * room)
            for name, on in search.on.items():
                survived[name] += on.cpu() / len(self.parameters.levels)
        return NodeScores(survived)


def _drawn(problem: Problem, count: int) -> PromptSet:
    import torch

    generator = torch.Generator().manual_seed(problem.seed)
    order = torch.randperm(len(problem.prompts), generator=generator)[:count]
    return problem.prompts.select(order.to(problem.prompts.tokens.device))


class _Search:
    def __init__(self, problem: Problem, prompts: PromptSet, group: int):
        import torch

        self.problem, self.prompts, self.group = problem, prompts, group
        device = problem.model.device
        self.on = {name: torch.ones(at.size, dtype=torch.bool, device=device) for name, at in problem.model.sites.items()}
        self.loss = float(self._losses(next(iter(self.on)), [])[0])

    def eliminate(self, allowed: float) -> None:
        """Turn nodes off, from the last site to the first, while the mean loss stays within `allowed` nats."""
        left = len(self.on)
        for site in reversed(self.on):
            self._thin(site, self.loss + (allowed - self.loss) / left)
            left -= 1

    def _thin(self, site: str, allowed: float) -> None:
        groups = list(self.on[site].nonzero().flatten().split(self.group)) if self.on[site].any() else []
        while groups:
            alone = self._losses(site, groups)[1:]
            order = alone.argsort().tolist()
            cheap = [groups[i] for i in order if alone[i] <= allowed]
            off = self._remove(site, cheap, allowed)
            left = [*cheap[off:], *(groups[i] for i in order if alone[i] > allowed)]
            groups = [half for g in left if len(g) > 1 for half in g.tensor_split(2)]

    def _remove(self, site, groups, allowed) -> int:
        """Turn off as many of the groups, the first ones, as the loss allows; how many."""
        import torch
        together = [torch.cat(groups[: i + 1]) for i in range(len(groups))]
        losses = self._losses(site, together)
        off = int((losses <= allowed).nonzero().max()) if bool((losses <= allowed).any()) else 0
        if off:
            self.on[site][together[off - 1]] = False
            self.loss = float(losses[off])
        return off

    def _losses(self, site: str, groups) -> Tensor:
        """The mean loss as things are, and with each of the groups of a site's nodes turned off as well."""
        from faithcheck_circuits.methods.chunks import mean_losses

        masks = {name: on[None].to(self.problem.model.dtype) for name, on in self.on.items() if name == site or not on.all()}
        own = masks[site].repeat(len(groups) + 1, 1)
        for row, group in zip(own[1:], groups, strict=True):
            row[group] = 0.0
        self.count = getattr(self, 'count', 0) + len(own)
        return mean_losses(self.problem, {**masks, site: own}, self.prompts)
