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

from faithcheck.batches import Groups, batches
from faithcheck.losses import LossKind, prompt_log_odds

if TYPE_CHECKING:
    from faithcheck.subject import Subject

MOST_LEFT_OUT = 512
"""Above this many groups the gradient stands in."""
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


def group_importance(subject: Subject, groups: Groups, baselines: Mapping[str, Tensor] | None = None) -> Importance:
    """The importance of groups on the held-out prompts; by gradient above MOST_LEFT_OUT of them.

    Arguments and errors as of `group_falls`, with the log-odds of the task's loss.
    """
    kind = subject.bench.loss
    if len(groups) <= MOST_LEFT_OUT:
        return group_falls(subject, groups, baselines, [kind])[kind]
    found = _gradients(subject, groups, baselines)
    _check_finite(groups, baselines, found)
    return Importance(found, by_gradient=True)


def group_falls(
    subject: Subject, groups: Groups, baselines: Mapping[str, Tensor] | None, kinds: Sequence[LossKind]
) -> dict[LossKind, Importance]:
    """How far the log-odds of each kind fall without each group, however many there are.

    baselines: what the nodes of a group take, {site: broadcastable to [group, prompt, pos, kept node]}; None is what
    the circuit's ablation says.
    Raises ValueError where the log-odds without a group are no finite number.
    """
    prompts, scales, compiled = subject.bench.prompts("test"), subject.bench.scales("test"), subject.compiled
    whole = _log_odds(subject, subject.frozen_run.logits, kinds)
    found = torch.zeros(len(kinds), len(groups), len(prompts), dtype=torch.float64)
    for places in batches(subject, groups):
        masks = compiled.without([groups[place] for place in places])
        taken = {site: _of_members(baseline, places) for site, baseline in (baselines or {}).items() if site in masks}
        run = compiled.run(prompts, masks=masks, baselines=taken, norm_scales=scales)
        found[:, places] = (whole - _log_odds(subject, run.logits, kinds)).double().cpu()
    by_kind = dict(zip(kinds, found.numpy(), strict=True))
    for falls in by_kind.values():
        _check_finite(groups, baselines, falls)
    return {kind: Importance(falls, by_gradient=False) for kind, falls in by_kind.items()}


def _log_odds(subject: Subject, logits: Tensor, kinds: Sequence[LossKind]) -> Tensor:
    """The answer's log-odds on the held-out prompts, float[kind, member, prompt]."""
    prompts = subject.bench.prompts("test")
    return torch.stack([prompt_log_odds(logits, prompts.targets, prompts.distractors, kind) for kind in kinds])


def _of_members(baseline: Tensor, places: list[int]) -> Tensor:
    return baseline[places] if baseline.dim() == 4 and len(baseline) > 1 else baseline


def _check_finite(groups: Groups, baselines: Mapping[str, Tensor] | None, found: npt.NDArray[np.float64]) -> None:
    """Raises ValueError with the name of a group for which what was found is not finite."""
    for group, row in zip(groups, found, strict=True):
        if not np.isfinite(row).all():
            names = [f"{site} {node}" for site, node in group]
            which = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
            how = "without" if baselines is None else "with another activation of"
            raise ValueError(f"the answer's log-odds {how} {which} are not finite")


def _gradients(subject: Subject, groups: Groups, baselines: Mapping[str, Tensor] | None) -> npt.NDArray[np.float64]:
    """d log-odds / d mask, the mask shared by the positions of a prompt: float[group, prompt]."""
    prompts, scales, compiled = subject.bench.prompts("test"), subject.bench.scales("test"), subject.differentiable
    sites = [site for site in compiled.circuit.keep if compiled.size(site)]
    shape = (1, len(prompts), 1)
    masks = {
        s: torch.ones(
            *shape, compiled.size(s), device=compiled.model.device, dtype=compiled.model.dtype, requires_grad=True
        )
        for s in sites
    }
    run = compiled.run(prompts, masks=masks, baselines=baselines, norm_scales=scales)
    total = _log_odds(subject, run.logits, [subject.bench.loss]).sum()
    found = torch.autograd.grad(total, [masks[s] for s in sites], allow_unused=True, materialize_grads=True)
    by_node = {
        node: row
        for site, grad in zip(sites, found, strict=True)
        for node, row in zip((n for n in compiled.nodes if n[0] == site), grad[0, :, 0].T, strict=True)
    }
    rows = [sum((by_node[node] for node in group), torch.zeros(())) for group in groups]
    return torch.stack(rows).double().cpu().numpy()
