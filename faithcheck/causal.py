"""Which positions of a node or a head reach the answer.

In the last layer only the answer position does (queries, attention output and MLP sites); keys and values count
wherever the answer position can see. In earlier layers positions are weighted by |d (answer logit difference) /
d (mask at that position)| in the circuit under the model's own norm scales, as the activations are that are compared
there: under live norms a node that makes up most of the residual stream has hardly any gradient. Each prompt's weights
sum to 1, so that every prompt counts the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faithcheck.batches import Groups, batches
from faithcheck.losses import logit_difference
from faithcheck.model import READ_AT_ANY_POSITION
from faithcheck.prompts import PromptSet

if TYPE_CHECKING:
    from faithcheck.compiled import CompiledCircuit
    from faithcheck.subject import Subject

_PROMPTS = 128
"""Prompts whose gradients are taken at once."""


def visible(prompts: PromptSet) -> Tensor:
    """float[prompt, pos]: 1 up to the answer position."""
    pos = torch.arange(prompts.tokens.shape[1], device=prompts.tokens.device)
    return (pos <= prompts.positions[:, None]).float()


def at_answer(prompts: PromptSet) -> Tensor:
    """float[prompt, pos]: 1 at the answer position."""
    pos = torch.arange(prompts.tokens.shape[1], device=prompts.tokens.device)
    return (pos == prompts.positions[:, None]).float()


def position_weights(subject: Subject) -> dict[str, Tensor]:
    """{site: float[prompt, pos, kept node]} for every site with a kept node."""
    bench, prompts = subject.bench, subject.bench.prompts("test")
    sites = [name for name in bench.model.sites if subject.compiled.size(name)]
    early = [name for name in sites if bench.model.sites[name].layer < bench.last_layer]
    weights = _by_gradient(subject, early)
    for name in sites:
        if name not in weights:
            reaches = visible if bench.model.sites[name].kind in READ_AT_ANY_POSITION else at_answer
            where = reaches(prompts)
            width = subject.compiled.size(name)
            weights[name] = (where / where.sum(1, keepdim=True))[:, :, None].expand(-1, -1, width)
    return {name: weights[name] for name in sites}


def head_query_weights(subject: Subject, layer: int, heads: Groups) -> Tensor:
    """float[head, prompt, query]: how much the output of each head of a layer at each position counts.

    heads: the kept v nodes of each. A head's contribution at a position is the layer's `attn_out` minus that without
    the head; times the gradient there it is the effect of removing the head's output at that position, to first order.
    Raises ValueError where a gradient or a contribution is no finite number.
    """
    prompts, site = subject.bench.prompts("test"), f"{layer}.attn_out"
    if layer == subject.bench.last_layer:
        return at_answer(prompts).expand(len(heads), -1, -1)
    effects = torch.zeros(len(heads), *prompts.tokens.shape, device=prompts.tokens.device)
    if subject.compiled.size(site):
        slope, scales = _slopes(subject, [site])[site], subject.bench.scales("test")
        for places in batches(subject, heads):
            masks = subject.compiled.without([heads[place] for place in places])
            without = subject.compiled.run(prompts, masks=masks, norm_scales=scales, capture=[site]).captured[site]
            contribution = subject.activations[site] - without
            _check_finite(site, contribution)
            effects[places] = (slope * contribution).sum(-1).abs().to(effects.dtype)
    return torch.stack([_normalised(effect, prompts) for effect in effects])


def _by_gradient(subject: Subject, sites: list[str]) -> dict[str, Tensor]:
    """Where a node is silent on a prompt its mask has no gradient at all; then its activation's gradient stands in."""
    if not sites:
        return {}
    prompts = subject.bench.prompts("test")
    weights = {site: grad.abs() for site, grad in _mask_gradients(subject, sites, {}).items()}
    silent = {site: weight.sum(1, keepdim=True) == 0 for site, weight in weights.items()}
    if any(bool(s.any()) for s in silent.values()):
        slopes = _slopes(subject, sites)
        weights = {site: torch.where(silent[site], slopes[site].abs(), weights[site]) for site in sites}
    return {site: _normalised(weight, prompts) for site, weight in weights.items()}


def _slopes(subject: Subject, sites: list[str]) -> dict[str, Tensor]:
    """{site: float[prompt, pos, kept node]}: d (logit difference) / d activation."""
    return _mask_gradients(subject, sites, {site: subject.activations[site] - 1 for site in sites})


def _mask_gradients(subject: Subject, sites: list[str], baselines: dict[str, Tensor]) -> dict[str, Tensor]:
    """{site: float[prompt, pos, kept node]}: d (logit difference) / d mask, a mask for every prompt and position."""
    parts: dict[str, list[Tensor]] = {site: [] for site in sites}
    prompts, scales = subject.bench.prompts("test"), subject.bench.scales("test")
    for rows in torch.arange(len(prompts), device=prompts.tokens.device).split(_PROMPTS):
        chunk = prompts.select(rows)
        chunk_scales = {name: s[:, rows] for name, s in scales.items()}
        chunk_baselines = {site: b.expand(-1, len(prompts), -1, -1)[:, rows] for site, b in baselines.items()}
        for site, grad in _gradients(subject.differentiable, chunk, sites, chunk_baselines, chunk_scales).items():
            parts[site].append(grad)
    return {site: torch.cat(grads) for site, grads in parts.items()}


def _gradients(
    compiled: CompiledCircuit,
    prompts: PromptSet,
    sites: list[str],
    baselines: dict[str, Tensor],
    scales: dict[str, Tensor],
) -> dict[str, Tensor]:
    shape = (1, *prompts.tokens.shape)
    device, dtype = compiled.model.device, compiled.model.dtype
    masks = {s: torch.ones(*shape, compiled.size(s), device=device, dtype=dtype, requires_grad=True) for s in sites}
    run = compiled.run(prompts, masks=masks, baselines=baselines, norm_scales=scales)
    difference = logit_difference(run.logits, prompts.targets, prompts.distractors).sum()
    grads = torch.autograd.grad(difference, [masks[s] for s in sites], allow_unused=True, materialize_grads=True)
    for site, grad in zip(sites, grads, strict=True):
        _check_finite(site, grad)
    return {site: grad[0].detach() for site, grad in zip(sites, grads, strict=True)}


def _check_finite(site: str, grad: Tensor) -> None:
    if not grad.isfinite().all():
        raise ValueError(f"the gradient of the logit difference is not finite at {site}")


def _normalised(weight: Tensor, prompts: PromptSet) -> Tensor:
    """float[prompt, pos, ...] scaled to sum to 1 over the positions; all visible positions alike where it is zero."""
    seen = visible(prompts)
    seen = seen.view(*seen.shape, *(1 for _ in weight.shape[2:]))
    total = weight.sum(1, keepdim=True)
    flat = (seen / seen.sum(1, keepdim=True)).expand_as(weight)
    return torch.where(total > 0, weight / total.clamp(min=torch.finfo(weight.dtype).tiny), flat)
