"""Which nodes can be turned off, one site after the other, while the loss stays within a limit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from faithcheck.method import Problem
from faithcheck.prompts import PromptSet
from faithcheck_circuits.methods.chunks import mean_losses


class Elimination:
    """`on`: {site: bool[node]}, the nodes that are left, all of them at first. `loss`: their mean loss on the prompts,
    in nats.
    """

    def __init__(self, problem: Problem, prompts: PromptSet, group: int):
        """group: how many nodes of a site are tried together at first."""
        self._problem, self._prompts, self._group = problem, prompts, group
        sites = problem.model.sites.items()
        self.on = {name: torch.ones(site.size, dtype=torch.bool, device=problem.model.device) for name, site in sites}
        self.loss = float(mean_losses(problem, {}, prompts))

    def eliminate(self, limit: float) -> None:
        """Turn nodes off from the last site to the first while the loss stays within the limit, in nats.

        Each site may take an equal share of what is left of it. Later sites first, as each node of an earlier one can
        go once nothing is left that reads it.
        """
        for done, site in enumerate(reversed(self.on)):
            self._thin(site, self.loss + (limit - self.loss) / (len(self.on) - done))

    def _thin(self, site: str, limit: float) -> None:
        """Turn off groups of a site's nodes, and halves of those that are needed as a whole, down to single nodes."""
        left = self.on[site].nonzero().flatten()
        groups = list(left.split(self._group)) if len(left) else []
        while groups:
            losses = self._without(site, groups)
            order = losses.argsort(stable=True).tolist()
            groups = [groups[place] for place in order]
            bearable = int((losses <= limit).sum())
            groups = groups[self._turn_off(site, groups[:bearable], limit) :]
            groups = [half for group in groups if len(group) > 1 for half in group.tensor_split(2)]

    def _turn_off(self, site: str, groups: Sequence[Tensor], limit: float) -> int:
        """Turn off as many of the groups, from the first, as the loss can bear together; how many."""
        if not groups:
            return 0
        together = [torch.cat(list(groups[:count])) for count in range(1, len(groups) + 1)]
        losses = self._without(site, together).tolist()
        count = max((place + 1 for place, loss in enumerate(losses) if loss <= limit), default=0)
        if count:
            self.on[site][together[count - 1]] = False
            self.loss = losses[count - 1]
        return count

    def _without(self, site: str, groups: Sequence[Tensor]) -> Tensor:
        """float64[group]: the mean loss with one group of a site's nodes, int[node], off beside what is off already."""
        dtype = self._problem.model.dtype
        masks = {name: on[None].to(dtype) for name, on in self.on.items() if not on.all()}
        masks[site] = self.on[site].to(dtype).repeat(len(groups), 1)
        for row, group in enumerate(groups):
            masks[site][row, group] = 0.0
        return mean_losses(self._problem, masks, self._prompts)
