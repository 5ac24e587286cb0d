"""The training loop: AdamW on next-token cross-entropy with annealed magnitude sparsity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faithcheck_circuits.training.recipe import Recipe
from faithcheck_circuits.training.sparsity import keep_largest, share_at
from faithcheck_circuits.training.text import StoryText
from faithcheck_circuits.transformer.config import Config
from faithcheck_circuits.transformer.forward import forward
from faithcheck_circuits.transformer.network import Network


@dataclass(frozen=True)
class Step:
    """What one optimiser step reports."""

    step: int
    loss: float
    share: float


def train(recipe: Recipe, config: Config, text: StoryText, tensors: dict[str, Tensor]) -> Iterator[Step]:
    """Train `tensors` in place, yielding after every step. Deterministic by recipe.seed on one machine."""
    parameters = {name: nn.Parameter(tensor) for name, tensor in tensors.items()}
    network = Network(config, parameters)
    matrices = [p for p in parameters.values() if p.dim() == 2]
    vectors = [p for p in parameters.values() if p.dim() == 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.95), eps=recipe.eps)
    generator = torch.Generator().manual_seed(recipe.seed)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * _schedule(step, recipe.steps)
        loss = _loss(network, text.batch(recipe.batch, recipe.context, generator))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        _clip_rms(list(parameters.values()))
        optimiser.step()
        share = share_at(step + 1, recipe.steps, recipe.share, recipe.anneal_until)
        for name in config.sparse_names():
            keep_largest(parameters[name], share, recipe.per_neuron)
        yield Step(step + 1, float(loss.detach()), share)


def _loss(network: Network, rows: Tensor) -> Tensor:
    logits = forward(network, rows[:, :-1]).logits[0]
    return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over the first 3 % of the steps, then linear decay to 0."""
    warmup = max(1, steps * 3 // 100)
    return min((step + 1) / warmup, (steps - step) / (steps - warmup + 1))


def _clip_rms(parameters: list[nn.Parameter]) -> None:
    """Scale the gradients down to a root mean square of at most 1 over all entries."""
    grads = [p.grad for p in parameters if p.grad is not None]
    square = sum(float(g.square().sum()) for g in grads)
    rms = (square / sum(g.numel() for g in grads)) ** 0.5
    if rms > 1:
        for g in grads:
            g.div_(rms)
