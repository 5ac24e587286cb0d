"""How much a circuit's behaviour depends on a node or a head.

Importance = max(0, rise of the circuit's task loss when the group is ablated from it); where the circuit has too
many nodes to leave each out, |d loss / d mask| stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from faithcheck.losses import prompt_losses

if TYPE_CHECKING:
    from faithcheck.subject import Subject

MOST_LEFT_OUT = 512
"""Above this many groups the gradient stands in."""
_FLOATS = 1 << 23
"""About how many activations one batch of left-out members may hold."""


@dataclass(frozen=True)
class Importance:
    """`per_prompt`: float[group, prompt], the loss rise of each prompt, or its signed gradient if `by_gradient`."""

    per_prompt: npt.NDArray[np.float64]
    by_gradient: bool

    def under(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float[draw, group] under prompt weights float[draw, prompt]."""
        mean = weights @ self.per_prompt.T
        return np.abs(mean) if self.by_gradient else np.maximum(mean, 0.0)

    def mean(self) -> npt.NDArray[np.float64]:
        """float[group] over all prompts."""
        n = self.per_prompt.shape[1]
        return self.under(np.full((1, n), 1 / n))[0]


def group_importance(subject: Subject, groups: Sequence[Sequence[tuple[str, int]]]) -> Importance:
    """The importance of groups of kept nodes on the held-out prompts, under the circuit's own norms."""
    if len(groups) > MOST_LEFT_OUT:
        return Importance(_gradients(subject, groups), by_gradient=True)
    return Importance(_rises(subject, groups), by_gradient=False)


def _rises(subject: Subject, groups: Sequence[Sequence[tuple[str, int]]]) -> npt.NDArray[np.float64]:
    prompts, scales = subject.bench.prompts("test"), subject.own_scales()
    whole = subject.losses(subject.run())
    width = prompts.tokens.numel() * max(64, subject.circuit.size)
    step = max(1, _FLOATS // width)
    rows = []
    for start in range(0, len(groups), step):
        masks = subject.compiled.without(groups[start : start + step])
        logits = subject.compiled.run(prompts, masks=masks, norm_scales=scales).logits
        rows.append(prompt_losses(logits, prompts.targets, prompts.distractors, subject.bench.loss) - whole)
    return torch.cat(rows).double().cpu().numpy() if rows else np.zeros((0, len(prompts)))


def _gradients(subject: Subject, groups: Sequence[Sequence[tuple[str, int]]]) -> npt.NDArray[np.float64]:
    """d loss / d mask, the mask shared by the positions of a prompt: float[group, prompt]."""
    prompts, compiled, scales = subject.bench.prompts("test"), subject.differentiable, subject.own_scales()
    sites = [site for site in compiled.circuit.keep if compiled.size(site)]
    shape = (1, len(prompts), 1)
    masks = {
        s: torch.ones(
            *shape, compiled.size(s), device=compiled.model.device, dtype=compiled.model.dtype, requires_grad=True
        )
        for s in sites
    }
    logits = compiled.run(prompts, masks=masks, norm_scales=scales).logits
    loss = prompt_losses(logits, prompts.targets, prompts.distractors, subject.bench.loss).sum()
    grads: dict[str, Tensor] = dict(zip(sites, torch.autograd.grad(loss, [masks[s] for s in sites]), strict=True))
    rank = {node: i for site in sites for i, node in enumerate(n for n in compiled.nodes if n[0] == site)}
    rows = [sum((grads[site][0, :, 0, rank[site, n]] for site, n in group), torch.zeros(())) for group in groups]
    return torch.stack(rows).double().cpu().numpy()
