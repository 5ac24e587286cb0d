"""The order of nodes in a restricted model: the kept nodes in the whole model's order, padded to the widest member."""

from __future__ import annotations

import torch
from torch import Tensor


def slots(kept: Tensor) -> tuple[Tensor, Tensor]:
    """bool[member, node] -> (int[member, slot], the node in each slot; bool[member, slot], whether one is there).

    An empty slot names node 0.
    """
    counts = kept.sum(-1)
    width = int(counts.max())
    order = torch.argsort(kept.to(torch.int8), dim=-1, descending=True, stable=True)[:, :width]
    filled = torch.arange(width, device=kept.device) < counts[:, None]
    return torch.where(filled, order, 0), filled
