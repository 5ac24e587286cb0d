"""How much a circuit's behaviour depends on a node or a head.

Importance = mean over prompts of max(0, fall of the answer's log-odds when the group is ablated from the circuit),
under the model's own norm scales; where the circuit has too many nodes to leave each out, d log-odds / d mask stands
in for the fall. Log-odds, because the loss levels off at 0: of several heads that do the same, no single one is then
missed. Cut at 0 for each prompt, because what helps some prompts and hurts others would cancel in the mean. The
model's norm scales, because live ones make up for whatever is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from faithcheck.losses import LossKind, prompt_log_odds

if TYPE_CHECKING:
    from faithcheck.compiled import CompiledCircuit
    from faithcheck.subject import Subject

MOST_LEFT_OUT = 512
"""Above this many groups the gradient stands in."""
_FLOATS = 1 << 23
"""About how many activations one batch of left-out members may hold."""
_NAMED = 3
"""Nodes of a group that an error names."""


@dataclass(frozen=True)
class Importance:
    """`per_prompt`: float[group, prompt], the fall of each prompt's log-odds; if `by_gradient`, their gradient."""

    per_prompt: npt.NDArray[np.float64]
    by_gradient: bool

    def under(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float[draw, group] under prompt weights float[draw, prompt]."""
        return weights @ np.maximum(self.per_prompt, 0.0).T

    def mean(self) -> npt.NDArray[np.float64]:
        """float[group] over all prompts."""
        n = self.per_prompt.shape[1]
        return self.under(np.full((1, n), 1 / n))[0]


Groups = Sequence[Sequence[tuple[str, int]]]
"""Groups of kept nodes (site, node)."""


def group_importance(subject: Subject, groups: Groups, baselines: Mapping[str, Tensor] | None = None) -> Importance:
    """The importance of groups on the held-out prompts; by gradient above MOST_LEFT_OUT of them.

    Arguments and errors as of `group_falls`, with the log-odds of the task's loss.
    """
    if len(groups) <= MOST_LEFT_OUT:
        return group_falls(subject, groups, baselines, subject.bench.loss)
    odds = _LogOdds(subject, baselines, subject.bench.loss)
    return Importance(odds.finite(groups, _gradients(odds, groups)), by_gradient=True)


def group_falls(subject: Subject, groups: Groups, baselines: Mapping[str, Tensor] | None, kind: LossKind) -> Importance:
    """How far the log-odds of a kind fall without each group, however many there are.

    baselines: what the nodes of a group take, {site: broadcastable to [group, prompt, pos, kept node]}; None is 0.
    Raises ValueError where the log-odds without a group are no finite number.
    """
    odds = _LogOdds(subject, baselines, kind)
    return Importance(odds.finite(groups, _falls(odds, groups)), by_gradient=False)


@dataclass(frozen=True)
class _LogOdds:
    """The answer's log-odds in the circuit under masks, with the model's own norm scales."""

    subject: Subject
    baselines: Mapping[str, Tensor] | None
    kind: LossKind

    def under(self, compiled: CompiledCircuit, masks: Mapping[str, Tensor]) -> Tensor:
        """float[member, prompt]."""
        prompts, scales = self.subject.bench.prompts("test"), self.subject.bench.scales("test")
        run = compiled.run(prompts, masks=masks, baselines=self.baselines, norm_scales=scales)
        return prompt_log_odds(run.logits, prompts.targets, prompts.distractors, self.kind)

    def finite(self, groups: Groups, found: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What was found for each group. Raises ValueError with the name of one for which it is not finite."""
        for group, row in zip(groups, found, strict=True):
            if not np.isfinite(row).all():
                names = [f"{site} {node}" for site, node in group]
                which = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
                how = "without" if self.baselines is None else "with another activation of"
                raise ValueError(f"the answer's log-odds {how} {which} are not finite")
        return found


def _falls(odds: _LogOdds, groups: Groups) -> npt.NDArray[np.float64]:
    subject, compiled = odds.subject, odds.subject.compiled
    whole = odds.under(compiled, {})
    width = subject.bench.prompts("test").tokens.numel() * max(64, subject.circuit.size)
    step = max(1, _FLOATS // width)
    rows = [
        whole - odds.under(compiled, compiled.without(groups[start : start + step]))
        for start in range(0, len(groups), step)
    ]
    return torch.cat(rows).double().cpu().numpy() if rows else np.zeros((0, whole.shape[1]))


def _gradients(odds: _LogOdds, groups: Groups) -> npt.NDArray[np.float64]:
    """d log-odds / d mask, the mask shared by the positions of a prompt: float[group, prompt]."""
    subject = odds.subject
    prompts, compiled = subject.bench.prompts("test"), subject.differentiable
    sites = [site for site in compiled.circuit.keep if compiled.size(site)]
    shape = (1, len(prompts), 1)
    masks = {
        s: torch.ones(
            *shape, compiled.size(s), device=compiled.model.device, dtype=compiled.model.dtype, requires_grad=True
        )
        for s in sites
    }
    total = odds.under(compiled, masks).sum()
    found = torch.autograd.grad(total, [masks[s] for s in sites], allow_unused=True, materialize_grads=True)
    grads: dict[str, Tensor] = dict(zip(sites, found, strict=True))
    rank = {node: i for site in sites for i, node in enumerate(n for n in compiled.nodes if n[0] == site)}
    rows = [sum((grads[site][0, :, 0, rank[site, n]] for site, n in group), torch.zeros(())) for group in groups]
    return torch.stack(rows).double().cpu().numpy()
