"""Mask pruning as Gao et al. 2025, appendix A.5, and Drori 2026 describe it, with nothing done for speed.

One mask at a time, every step a forward and a backward pass of the whole network over every position, the logits of
all tokens there, and a bisection that runs the masked network. Weights are frozen and get no gradient. Everything that
is not said there is as in `sparse_prune`, so that what both find can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from faithcheck_circuits.transformer.model import SparseTransformer
from torch import Tensor

from faithcheck.model import SITE_KINDS
from faithcheck.prompts import PromptSet


@dataclass(frozen=True)
class Settings:
    steps: int
    k_coef: float = 3e-3
    lr: float = 1e-2
    beta2: float = 0.95
    weight_decay: float = 1e-3
    init_noise_bias: float = 0.1
    init_noise_scale: float = 1e-2
    heaviside_temp: float = 1.0
    batch: int = 64


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tau, temperature):
        ctx.save_for_backward(tau)
        ctx.temperature = temperature
        return (tau >= 0).float()

    @staticmethod
    def backward(ctx, grad):
        (tau,) = ctx.saved_tensors
        s = torch.sigmoid(tau / ctx.temperature)
        return grad * s * (1 - s) / ctx.temperature, None


def masked_logits(model: SparseTransformer, tokens: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
    """float[prompt, pos, token] of the network with each site multiplied by its mask, float[node]."""
    w, config = model.network.tensors, model.config

    def norm(x: Tensor, name: str) -> Tensor:
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + config.norm_eps) * w[f"{name}.gain"]

    def linear(x: Tensor, site: str) -> Tensor:
        return F.linear(x, w[f"{site}.weight"], w[f"{site}.bias"])

    x = w["embed"][tokens]
    causal = torch.ones(tokens.shape[1], tokens.shape[1], device=tokens.device).triu(1).bool()
    for layer in range(config.layers):
        y = norm(x, f"{layer}.ln_1") * masks[f"{layer}.attn_in"]
        q, k, v = (
            (linear(y, f"{layer}.attn_{s}") * masks[f"{layer}.attn_{s}"])
            .unflatten(-1, (config.heads, config.d_head))
            .transpose(1, 2)
            for s in "qkv"
        )
        scores = (q @ k.transpose(-1, -2) / math.sqrt(config.d_head)).masked_fill(causal, -torch.inf)
        sink = w[f"{layer}.sink"][:, None, None].expand(*scores.shape[:-1], 1)
        pattern = torch.cat([scores, sink], -1).softmax(-1)[..., :-1]
        z = (pattern @ v).transpose(1, 2).flatten(-2)
        x = x + linear(z, f"{layer}.attn_out") * masks[f"{layer}.attn_out"]
        y = norm(x, f"{layer}.ln_2") * masks[f"{layer}.mlp_in"]
        y = F.gelu(linear(y, f"{layer}.mlp_neuron")) * masks[f"{layer}.mlp_neuron"]
        x = x + linear(y, f"{layer}.mlp_out") * masks[f"{layer}.mlp_out"]
    return norm(x, "ln_f") @ w["unembed"].T


def task_loss(model: SparseTransformer, prompts: PromptSet, rows: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
    """Mean cross-entropy at the answer position."""
    logits = masked_logits(model, prompts.tokens[rows], masks)
    last = logits[torch.arange(len(rows), device=rows.device), prompts.positions[rows]]
    return F.cross_entropy(last, prompts.targets[rows])


def prune(model: SparseTransformer, prompts: PromptSet, seed: int, settings: Settings) -> dict[str, Tensor]:
    """The trained threshold parameters, {site: float[node]}."""
    sizes = [model.config.size(kind) for _ in range(model.config.layers) for kind in SITE_KINDS]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(sum(sizes), generator=generator).to(model.device)
    start = (settings.init_noise_bias + settings.init_noise_scale * noise).clamp(-1, 1).split(sizes)
    tau = {site: part.clone().requires_grad_() for site, part in zip(model.sites, start, strict=True)}
    parameters = list(tau.values())
    optimizer = torch.optim.AdamW(
        parameters, settings.lr, betas=(0.9, settings.beta2), weight_decay=settings.weight_decay
    )
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * (1 - step / settings.steps)
        rows = torch.randint(len(prompts), (settings.batch,), generator=generator).to(model.device)
        masks = {site: StraightThrough.apply(t, settings.heaviside_temp) for site, t in tau.items()}
        kept = torch.stack([mask.sum() for mask in masks.values()]).sum()
        loss = task_loss(model, prompts, rows, masks) + settings.k_coef * kept
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, math.sqrt(sum(sizes)))
        optimizer.step()
        with torch.no_grad():
            for t in parameters:
                t.clamp_(-1, 1)
    return {site: t.detach() for site, t in tau.items()}


def smallest(model: SparseTransformer, prompts: PromptSet, tau: Mapping[str, Tensor], target: float) -> int:
    """Bisect for the number of highest thresholds at which the masked network's loss meets the target."""
    flat = torch.cat(list(tau.values()))
    order = flat.argsort(descending=True)
    every = torch.arange(len(prompts), device=flat.device)
    low, high = 0, len(flat)
    with torch.no_grad():
        while high - low > 1:
            middle = (low + high) // 2
            mask = torch.zeros_like(flat)
            mask[order[:middle]] = 1
            masks = dict(zip(tau, mask.split([len(t) for t in tau.values()]), strict=True))
            if float(task_loss(model, prompts, every, masks)) <= target:
                high = middle
            else:
                low = middle
    return high
