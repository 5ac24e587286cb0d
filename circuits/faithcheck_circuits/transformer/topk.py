"""Activation top-k."""

from __future__ import annotations

import torch
from torch import Tensor


def largest(x: Tensor, share: float | None, dim: int) -> Tensor:
    """Zero all but the max(1, int(share * nodes)) largest values by magnitude along the nodes' axis `dim` (Gao et al.
    2025); None keeps all."""
    if share is None:
        return x
    index = x.abs().topk(max(1, int(share * x.shape[dim])), dim=dim).indices
    return torch.zeros_like(x).scatter(dim, index, x.gather(dim, index))
