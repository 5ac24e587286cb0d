"""From node scores to a circuit: the smallest evaluated size that meets the target loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.circuit import Circuit, NodeScores, Norms
from faithcheck.compiled import CompiledCircuit
from faithcheck.losses import LossKind, prompt_losses
from faithcheck.model import Model
from faithcheck.prompts import PromptSet

GRID_RATIO = 1.5
"""Neighbouring sizes of the grid differ by this factor, or by one node."""


@dataclass(frozen=True)
class Cut:
    """A circuit cut from scores, its mean loss on the prompts it was cut on, and every (size, loss) evaluated."""

    circuit: Circuit
    loss: float
    reached: bool
    curve: tuple[tuple[int, float], ...]

    @property
    def size(self) -> int:
        return self.circuit.size


@dataclass(frozen=True)
class Cutter:
    """How circuits of one model are cut: `prompts` are the fixed list on which every size is evaluated.

    `norm_scales`: the model's own scales on these prompts where circuits run with frozen norms, else None.
    """

    model: Model
    prompts: PromptSet
    loss: LossKind
    target_loss: float
    ablation: Ablation
    norm_scales: dict[str, Tensor] | None = None

    @property
    def norms(self) -> Norms:
        return "live" if self.norm_scales is None else "frozen"

    def cut(self, scores: NodeScores, whole_curve: bool = True) -> Cut:
        """Cut at the smallest evaluated size whose loss meets the target.

        Sizes fall only between distinct scores, or at the number of positive scores. A log grid of sizes is evaluated,
        then the gap below its first success is bisected. Where no size succeeds, the circuit is all scores > 0.
        With `whole_curve` false the grid stops at its first success.
        """
        flat = scores.flat(self.model)
        order = ranked(flat)
        sizes = candidate_sizes(flat)
        grid = log_grid(sizes)
        losses: dict[int, float] = {}
        first = None
        for size in grid:
            losses[size] = self._loss_at(order, size)
            if first is None and losses[size] <= self.target_loss:
                first = size
                if not whole_curve:
                    break
        if first is not None:
            self._bisect(order, sizes, grid, first, losses)
        met = [size for size, loss in losses.items() if loss <= self.target_loss]
        size = min(met) if met else int((flat > 0).sum())
        if size not in losses:
            losses[size] = self._loss_at(order, size)
        loss = losses[size]
        return Cut(
            circuit_of(self.model, order, size, self.ablation, self.norms),
            loss,
            loss <= self.target_loss,
            tuple(sorted(losses.items())),
        )

    def _loss_at(self, order: Tensor, size: int) -> float:
        """Mean loss over the prompts of the circuit of the first `size` nodes."""
        compiled = CompiledCircuit(self.model, circuit_of(self.model, order, size, self.ablation, self.norms))
        logits = compiled.run(self.prompts, norm_scales=self.norm_scales).logits
        return float(prompt_losses(logits, self.prompts.targets, self.prompts.distractors, self.loss).mean())

    def _bisect(self, order: Tensor, sizes: list[int], grid: list[int], first: int, losses: dict[int, float]) -> None:
        below = [size for size in grid if size < first]
        low, high = (sizes.index(below[-1]) if below else -1), sizes.index(first)
        while high - low > 1:
            middle = (low + high) // 2
            losses[sizes[middle]] = self._loss_at(order, sizes[middle])
            if losses[sizes[middle]] <= self.target_loss:
                high = middle
            else:
                low = middle


def ranked(flat: Tensor) -> Tensor:
    """int[node]: the nodes from the highest of the flat scores down, float[node] over all sites in order."""
    return flat.argsort(descending=True, stable=True)


def circuit_of(
    model: Model, order: Tensor, size: int, ablation: Ablation | None = None, norms: Norms = "live"
) -> Circuit:
    """The circuit of the first `size` nodes of an order of all, as of `ranked`."""
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[order[:size]] = True
    parts = kept.split([site.size for site in model.sites.values()])
    return Circuit(dict(zip(model.sites, parts, strict=True)), ablation or Ablation(), norms)


def candidate_sizes(flat: Tensor) -> list[int]:
    """The sizes, at least 1, at which a cut separates two distinct scores; and the number of positive scores."""
    ordered = flat.sort(descending=True).values
    sizes = set(((ordered[:-1] > ordered[1:]).nonzero().flatten() + 1).tolist())
    return sorted(sizes | {int((flat > 0).sum())} - {0})


def log_grid(sizes: list[int]) -> list[int]:
    """Some of `sizes` (ascending), each the first at least GRID_RATIO times its predecessor; always the last."""
    grid: list[int] = []
    for size in sizes:
        if not grid or size >= GRID_RATIO * grid[-1] or size == sizes[-1]:
            grid.append(size)
    return grid
