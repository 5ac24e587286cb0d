"""A run of the whole network under hard masks over all nodes: logits, and the gradient of every node's mask.

This is what mask training does hundreds of times. It costs about what the nodes cost that are on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from faithcheck.model import SITE_KINDS
from faithcheck_circuits.transformer.attention import SHORT
from faithcheck_circuits.transformer.columns import Answers, at_columns
from faithcheck_circuits.transformer.levers import Levers
from faithcheck_circuits.transformer.masked_attention import Attention
from faithcheck_circuits.transformer.masked_layers import Mask, Mlp, Norm, Read, Write
from faithcheck_circuits.transformer.mixing import AtColumns, AtTokens
from faithcheck_circuits.transformer.network import Network

KINDS, PAIRS = 16, 1 << 18
"""In the first layer's attention columns that read the same are computed as one, where there are at most so many kinds
of them per position, and so many pairs of a kind and a column."""


def trains_masks(network: Network, levers: Levers, answers: Answers) -> bool:
    """Whether what is asked for are gradients of masks over the nodes of every site, of a frozen network on a CPU; with
    given norm scales or without."""
    sites = {f"{layer}.{kind}" for layer in range(network.config.layers) for kind in SITE_KINDS}
    length = levers.columns.place.shape[1]
    return (
        network.is_whole
        and torch.is_grad_enabled()
        and any(mask.requires_grad for mask in levers.masks.values())
        and levers.columns.tokens.device.type == "cpu"
        and levers.hard == sites
        and not levers.baselines
        and network.config.activation_topk is None
        and network.is_frozen
        and (length <= SHORT or levers.columns.needed is not None)
        and not any(scale.requires_grad for scale in levers.norm_scales.values())
        and len(levers.columns.tokens) == answers.columns.dim() == 1
    )


def masked_logits(network: Network, levers: Levers, answers: Answers, vocab: Tensor | None) -> Tensor:
    """float[member, query, token], with gradients of the masks."""
    sites = list(levers.masks)
    return _Masked.apply(_MaskedRun(network, levers, answers, vocab), sites, *levers.masks.values())


class _Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: _MaskedRun, sites: list[str], *masks: Tensor) -> Tensor:
        ctx.run, ctx.sites, ctx.members = run, sites, [len(mask) for mask in masks]
        ctx.save_for_backward(*run.network.tensors.values())
        return run.forward()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises where a weight was changed since
        by_mask = ctx.run.backward(grads[0])
        found = [by_mask[site] for site in ctx.sites]
        alone = [by if len(by) == n else by.sum(0, keepdim=True) for by, n in zip(found, ctx.members, strict=True)]
        return None, None, *(by[:, :, None] for by in alone)


class _MaskedRun:
    def __init__(self, network: Network, levers: Levers, answers: Answers, vocab: Tensor | None):
        self.network, self._levers, self._answers = network, levers, answers
        self._members = max(map(len, (*levers.masks.values(), *levers.norm_scales.values())))
        self._masks = {s: Mask(m.detach()[:, :, 0].expand(self._members, -1)) for s, m in levers.masks.items()}
        self._unembed = network.unembed() if vocab is None else network.unembed()[vocab]
        self._last = network.config.layers - 1
        self._tokens, self._first_scales, first = self._first()
        others = [
            AtColumns(levers.columns, answers if layer == self._last else None) for layer in range(1, self._last + 1)
        ]
        self._mixings = [first, *others]
        self._attention = [self._attention_of(layer) for layer in range(network.config.layers)]
        self._mlp = [self._mlp_of(layer) for layer in range(network.config.layers)]
        self._norm = self._norm_of("ln_f", True)

    def forward(self) -> Tensor:
        """float[member, query, token]."""
        x = self._embedded(self._tokens)
        for layer, mixing in enumerate(self._mixings):
            self._attention[layer].forward(x, mixing)
            x = self._stream_at_queries(layer, x)
            self._attention[layer].write(x)
            self._mlp[layer].forward(x)
        normed = self._norm.forward(x).unflatten(0, (self._members, -1))
        return normed.transpose(1, 2) @ self._unembed.T

    def _stream_at_queries(self, layer: int, x: Tensor) -> Tensor:
        """A stream to write to, from the one that a layer reads."""
        if layer:
            at_queries = self._mixings[layer].at_queries(x)
            return x.clone() if at_queries is x else at_queries
        tokens = self._levers.columns.tokens[0]
        return self._embedded(tokens.index_select(0, self._answers.columns) if self._last == 0 else tokens)

    def _first(self) -> tuple[Tensor, Tensor | None, AtColumns | AtTokens]:
        """The tokens that the first layer reads, int[column], the scales that its norm is given at them, and how its
        heads mix: columns that read the same are one, where this makes them few."""
        columns, answers = self._levers.columns, self._answers if self._last == 0 else None
        tokens, given = columns.tokens[0], self._levers.norm_scales.get("0.ln_1")
        if given is None or given.shape[1] == 1:
            kinds, kind = torch.unique(tokens, return_inverse=True)
            scales = given
        else:
            both = torch.cat([tokens[None].double(), given.double()])
            found, kind = torch.unique(both, dim=1, return_inverse=True)
            kinds, scales = found[0].to(tokens.dtype), found[1:].to(given.dtype)
        if len(kinds) <= KINDS * columns.place.shape[1] and len(kinds) * len(tokens) <= PAIRS:
            return kinds, scales, AtTokens(columns, answers, kind, len(kinds))
        return tokens, given, AtColumns(columns, answers)

    def _embedded(self, tokens: Tensor) -> Tensor:
        """float[channel of all members, column]."""
        return self.network.tensors["embed"].index_select(0, tokens).T.repeat(self._members, 1)

    def backward(self, by_logits: Tensor) -> dict[str, Tensor]:
        """{site: float[member, node]}."""
        by_mask: dict[str, Tensor] = {}
        by_normed = (by_logits @ self._unembed).transpose(1, 2).flatten(0, 1)
        by_x = torch.zeros_like(by_normed)
        self._norm.backward(by_normed, None, by_x)
        for layer in reversed(range(self._last + 1)):
            mlp = self._mlp[layer].backward(by_x)
            attention = self._attention[layer].backward(by_x)
            if layer:
                by_x = self._attention[layer].by_stream(by_x)
            for kind, by in zip(SITE_KINDS, (*attention, *mlp), strict=True):
                by_mask[f"{layer}.{kind}"] = by
        return by_mask

    def _attention_of(self, layer: int) -> Attention:
        qkv = [f"{layer}.attn_{s}" for s in "qkv"]
        return Attention(
            self._read(f"{layer}.attn_in", f"{layer}.ln_1"),
            [self.network.weight(site) for site in qkv],
            [self.network.tensors[f"{site}.bias"] for site in qkv],
            [self._masks[site] for site in qkv],
            self.network.tensors[f"{layer}.sink"],
            self._write(f"{layer}.attn_out", f"{layer}.attn_v"),
        )

    def _mlp_of(self, layer: int) -> Mlp:
        neuron = f"{layer}.mlp_neuron"
        return Mlp(
            self._read(f"{layer}.mlp_in", f"{layer}.ln_2", layer == self._last),
            self.network.weight(neuron),
            self.network.tensors[f"{neuron}.bias"],
            self._masks[neuron],
            self._write(f"{layer}.mlp_out", neuron),
        )

    def _read(self, site: str, norm: str, at_answers: bool = False) -> Read:
        return Read(self._norm_of(norm, at_answers), self.network.tensors[f"{norm}.gain"], self._masks[site])

    def _write(self, site: str, source: str) -> Write:
        bias = self.network.tensors[f"{site}.bias"]
        return Write(self.network.weight(site), bias, self._masks[source], self._masks[site])

    def _norm_of(self, name: str, at_answers: bool) -> Norm:
        given = self._first_scales if name == "0.ln_1" else self._levers.norm_scales.get(name)
        if given is not None and at_answers and given.shape[-1] > 1:
            given = at_columns(given, self._answers.columns)
        return Norm(self._members, self.network.config.norm_eps, given)
