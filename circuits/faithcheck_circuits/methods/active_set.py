"""When each member of a batch takes full gradients, and which nodes it trains on in between.

A full gradient can turn a node on that is off; a compact one sees only the nodes that were on at the last full step.
Full gradients are needed while many nodes change; late in training they turn on next to none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

COMPACT_BELOW = 0.05
"""A member takes compact steps only while less than this share of its nodes is on. Before, full ones decide which nodes
stay: with compact steps from 0.3 on, circuits on frames not trained on took three times as many nodes."""
SOONEST = 4
"""Steps between full steps at first, once they are not taken every time; at least as many later."""
SHRUNK = 0.75
"""A member with less than this share of its active nodes on goes on with those."""
ALIKE = 1.5
"""Members run compact steps together while the largest has at most this many times the nodes of the smallest."""


class ActiveSet:
    """`active`: bool[member, node], the nodes that each member trains on between its full steps.

    A member's schedule depends on its own nodes alone, not on the members it is batched with.
    """

    def __init__(self, on: Tensor, rarely: int):
        """on: bool[member, node]. rarely: the greatest number of steps from one full step to the next."""
        self.active, self._rarely = on.clone(), rarely
        self._every = [1] * len(on)
        self._last = [-1] * len(on)

    def due(self, step: int) -> list[int]:
        """The members whose step this is a full one."""
        return [i for i, every in enumerate(self._every) if step % every == 0]

    def steps_for(self, step: int, members: Tensor) -> Tensor:
        """How many steps a full one of these members (int[member]) stands for, int[member, node]: nodes that were not
        active have not moved since the last."""
        waited = torch.tensor([step - self._last[i] for i in members.tolist()], device=members.device)
        return torch.where(self.active[members], 1, waited[:, None])

    def after_full(self, step: int, members: Sequence[int], on: Tensor) -> bool:
        """Take up what full steps of these members left on, bool[member of all, node]; whether compact steps change."""
        if not members:
            return False
        before_compact = [self._every[i] > 1 for i in members]
        for i in members:
            self._last[i] = step
        now, before = on[members], self.active[members]
        few = now.sum(1) < COMPACT_BELOW * now.shape[1]
        revives = (now & ~before).any(1)
        self.active[members] = now
        for i, is_few, does in zip(members, few.tolist(), revives.tolist(), strict=True):
            self._every[i] = min(self._next(self._every[i], does), self._rarely) if is_few else 1
        return any(before_compact) or any(self._every[i] > 1 for i in members)

    def _next(self, every: int, revives: bool) -> int:
        """Sooner where a full step turned nodes on, else later."""
        if every < SOONEST:
            return SOONEST
        return max(every // 2, SOONEST) if revives else every * 2

    def shrink(self, step: int, on: Tensor) -> bool:
        """Now and then: drop the nodes that are off from members that have many of them; whether any did.

        on: bool[member, node].
        """
        if step % SOONEST:
            return False
        compact = torch.tensor([every > 1 for every in self._every], device=on.device)
        shrunk = compact & (on.sum(1) < SHRUNK * self.active.sum(1))
        self.active = torch.where(shrunk[:, None], self.active & on, self.active)
        return bool(shrunk.any())

    def groups(self) -> Iterator[Tensor]:
        """int[member]: the members that take compact steps, those alike in size together, in ascending order."""
        counts = self.active.sum(1).tolist()
        order = sorted((i for i, every in enumerate(self._every) if every > 1), key=lambda i: counts[i])
        start = 0
        for i in range(1, len(order) + 1):
            if i == len(order) or counts[order[i]] > ALIKE * max(counts[order[start]], 1):
                yield torch.tensor(order[start:i], device=self.active.device)
                start = i
