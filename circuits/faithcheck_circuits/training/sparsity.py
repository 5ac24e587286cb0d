"""Weight sparsity by magnitude, after Gao et al. 2025: after each step all but the largest weights are zeroed."""

from __future__ import annotations

import torch
from torch import Tensor


def share_at(step: int, steps: int, final: float, anneal_until: float) -> float:
    """The kept share of each matrix: exponentially from 1 to `final` over the first `anneal_until` of training."""
    progress = min(1.0, step / max(1.0, steps * anneal_until))
    return float(final**progress)


@torch.no_grad()
def keep_largest(weight: Tensor, share: float, per_neuron: int) -> None:
    """Zero, in place, all of `weight` (float[out, in]) but its largest entries by magnitude.

    Keeps round(share * entries) of the matrix, and beside them each row's `per_neuron` largest.
    """
    kept = round(share * weight.numel())
    if kept >= weight.numel():
        return
    size = weight.abs()
    threshold = size.flatten().kthvalue(weight.numel() - kept + 1).values if kept else torch.inf
    keep = size >= threshold
    if per_neuron:
        keep |= size >= size.topk(min(per_neuron, weight.shape[1]), dim=1).values[:, -1:]
    weight.mul_(keep)
