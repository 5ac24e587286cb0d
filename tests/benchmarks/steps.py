"""One compact step: forward and backward through a restricted model, and prompts to take it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from faithcheck_circuits.transformer.model import SparseTransformer
from pruning import Pruning
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.prompts import PromptSet


def prompts(model: SparseTransformer, count: int = 64) -> PromptSet:
    """The first train prompts of the pronoun task."""
    return Pruning(model, "pronoun").bench.prompts("train").select(torch.arange(count))


def compact_step(model: SparseTransformer, keep: Mapping[str, Tensor], batch: PromptSet) -> Callable[[], object]:
    """A function that takes one step: gradients of the loss for a mask over the kept nodes, as for training."""
    restricted = model.restrict(keep, Ablation(), trainable=True)
    count = max(len(torch.atleast_2d(kept)) for kept in keep.values())
    masks = {site: torch.ones(count, at.size, requires_grad=True) for site, at in restricted.sites.items()}
    targets = batch.targets.repeat(count)

    def step() -> object:
        logits = restricted.run(batch.tokens, positions=batch.positions, masks=masks).logits
        loss = F.cross_entropy(logits.flatten(0, 1), targets)
        return torch.autograd.grad(loss, list(masks.values()))

    return step


def first_step(model: SparseTransformer, keep: Mapping[str, Tensor], batch: PromptSet) -> Callable[[], object]:
    """A function that restricts the model, which is made ready for steps by the first, and takes one."""
    return lambda: compact_step(model, keep, batch)()
