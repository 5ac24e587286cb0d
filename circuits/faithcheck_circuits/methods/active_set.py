"""When each member of a batch takes full gradients, and which nodes it trains on in between.

A full step computes the gradient of every node. The compact ones after it leave out the nodes that are off and out of
reach: so far below the threshold that they cannot come on before the next full step. A step moves a parameter by about
the learning rate at most (Kingma and Ba 2015, section 2.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

COMPACT_BELOW = 0.05
"""A member takes compact steps while less than this share of its nodes is within reach: of more they save little."""
ALIKE = 1.5
"""Members run compact steps together while the largest has at most this many times the nodes of the smallest."""


class ActiveSet:
    """`active`: bool[member, node], the nodes that each member trains on between its full steps.

    A member's schedule depends on its own nodes alone, not on the members it is batched with.
    """

    def __init__(self, tau: Tensor, rarely: int):
        """tau: float[member, node], the parameters at first. rarely: the greatest number of steps from one full step to
        the next."""
        self.active = torch.ones_like(tau, dtype=torch.bool)
        self._intervals = [rarely]
        while self._intervals[-1] > 3:
            self._intervals.append(self._intervals[-1] // 2)
        self._every = [1] * len(tau)
        self._last = torch.full((len(tau),), -1, device=tau.device)

    def due(self, step: int) -> list[int]:
        """The members whose step this is a full one."""
        return [i for i, every in enumerate(self._every) if step % every == 0]

    def steps_for(self, step: int, members: Tensor) -> Tensor:
        """How many steps a full one of these members (int[member]) stands for, int[member, node]: nodes that were not
        active have not moved since the last."""
        waited = step - self._last[members]
        return torch.where(self.active[members], 1, waited[:, None])

    def after_full(self, step: int, members: Sequence[int], tau: Tensor, lr: float) -> bool:
        """Take up where full steps of these members left the parameters, float[member of all, node]; whether compact
        steps change. lr: the greatest move of a step until the next."""
        if not members or self._intervals[0] == 1:
            return False
        before, now = [self._every[i] for i in members], tau[members]
        near = torch.stack([(now >= -lr * every).sum(1) for every in self._intervals], 1).tolist()
        for i, row, counts in zip(members, now, near, strict=True):
            self._last[i] = step
            self._every[i] = self._interval(counts, len(row))
            self.active[i] = row >= -lr * self._every[i]
        return any(every > 1 for every in (*before, *(self._every[i] for i in members)))

    def _interval(self, near: Sequence[int], nodes: int) -> int:
        """The longest in which only few of the nodes can come on, of which there are so many for each; else 1."""
        few = COMPACT_BELOW * nodes
        return next((every for every, count in zip(self._intervals, near, strict=True) if count < few), 1)

    def groups(self) -> Iterator[list[int]]:
        """The members that take compact steps, those alike in size together, in ascending order."""
        counts = self.active.sum(1).tolist()
        order = sorted((i for i, every in enumerate(self._every) if every > 1), key=lambda i: counts[i])
        start = 0
        for i in range(1, len(order) + 1):
            if i == len(order) or counts[order[i]] > ALIKE * max(counts[order[start]], 1):
                yield order[start:i]
                start = i
