"""The order of nodes in a restricted model: the kept nodes in the whole model's order, padded to the widest member."""

from __future__ import annotations

import torch
from torch import Tensor


def slots(kept: Tensor) -> tuple[Tensor, Tensor]:
    """bool[member, node] -> (int[member, slot], the node in each slot; bool[member, slot], whether one is there).

    An empty slot names node 0.
    """
    if len(kept) == 1:
        index = kept[0].nonzero().T
        return index, torch.ones_like(index, dtype=torch.bool)
    counts = kept.sum(-1)
    member, node = kept.nonzero(as_tuple=True)
    place = torch.arange(len(node), device=kept.device) - (counts.cumsum(0) - counts)[member]
    filled = torch.arange(int(counts.max()), device=kept.device) < counts[:, None]
    index = torch.zeros(filled.shape, dtype=torch.int64, device=kept.device)
    index[member, place] = node
    return index, filled
