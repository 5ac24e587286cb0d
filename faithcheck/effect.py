"""What share of a circuit's effect on the answer is lost when something in it is changed.

The effect is the fall of the answer's log-odds when all nodes of the circuit are ablated (`importance`). A share of it
does not shrink when nodes are added to the circuit, as a share of the importance of all nodes does. It is taken of the
log-odds of the target against the distractor, and of those that belong to the task's loss; of those that the circuit
has an effect on, the larger share counts. Otherwise a circuit could be padded with nodes that make both answers likely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from faithcheck.batches import Groups
from faithcheck.importance import Importance, group_falls
from faithcheck.losses import LossKind
from faithcheck.thresholds import NEGLIGIBLE

if TYPE_CHECKING:
    from faithcheck.subject import Subject


@dataclass(frozen=True)
class Lost:
    """By kind of log-odds that the circuit has an effect on: the falls for each group, and for the whole circuit."""

    changed: Mapping[LossKind, Importance]
    whole: Mapping[LossKind, Importance]

    @property
    def is_negligible(self) -> bool:
        """Whether the circuit has so small an effect that no share of it means anything."""
        return not self.whole

    def under(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The share float[draw, group] under prompt weights float[draw, prompt]; above 1 where the answer turns.

        Of draws in which the circuit has no effect it is infinite, 0 where nothing is lost either.
        """
        return np.maximum.reduce(
            [share(of.under(weights), self.whole[k].under(weights)) for k, of in self.changed.items()]
        )


def share(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """part / whole; 0 where the part is 0, infinite where only the whole is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(part == 0, 0.0, part / whole)


def lost(subject: Subject, groups: Groups, baselines: Mapping[str, Tensor] | None = None) -> Lost:
    """What is lost when the nodes of a group are ablated, or take `baselines`; never by gradient.

    Raises as `group_falls` does.
    """
    kinds: set[LossKind] = {"binary", subject.bench.loss}
    whole = group_falls(subject, [subject.compiled.nodes], None, sorted(kinds))
    whole = {kind: falls for kind, falls in whole.items() if falls.mean()[0] >= NEGLIGIBLE}
    return Lost(group_falls(subject, groups, baselines, list(whole)) if whole else {}, whole)


def model_activations(subject: Subject) -> dict[str, Tensor]:
    """What the kept nodes are in the model on the held-out prompts: {site: float[1, prompt, pos, kept node]}."""
    captured = subject.bench.model_run("test").captured
    kept = {site: keep.nonzero().flatten().to(captured[site].device) for site, keep in subject.circuit.keep.items()}
    prompts = subject.bench.prompts("test")
    shape = (1, len(prompts), prompts.tokens.shape[1], -1)
    return {
        site: torch.index_select(captured[site], -1, nodes).expand(*shape) for site, nodes in kept.items() if len(nodes)
    }
