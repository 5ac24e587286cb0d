"""What training one mask gives, and whether its loss had stopped falling."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from faithcheck.circuit import Convergence


@dataclass(frozen=True)
class Trained:
    """The threshold parameters of one run, {site: float[node]}, and its train loss and kept nodes at every step."""

    scores: dict[str, Tensor]
    factor: float
    losses: Tensor
    nodes: Tensor

    def convergence(self, target: float) -> Convergence:
        """Flattened: in the last quarter of the steps the loss is at most 5 % below the lower one of the second and the
        third quarter, and above 1.5 x target, while a tenth of all nodes or more is still on. A run of under 100 steps,
        or one that has not turned half of the nodes off, is hardly trained: its loss is flat for no good reason.
        """
        quarter = max(1, len(self.losses) // 4)
        after = self.losses[-quarter:].mean()
        before = min(self.losses[-2 * quarter : -quarter].mean(), self.losses[quarter : 2 * quarter].mean())
        total = sum(len(s) for s in self.scores.values())
        flat = bool(after > 0.95 * before) and float(after) > 1.5 * target
        nodes = int(self.nodes[-1])
        trained = len(self.losses) >= 100 and nodes <= total / 2
        return Convergence(float(after), nodes, flat and trained and nodes >= total / 10)
