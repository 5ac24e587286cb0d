"""The forward pass of a whole or restricted network, with the intervention at every site and norm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from faithcheck.model import Run
from faithcheck_circuits.transformer.network import Network


@dataclass
class Pass:
    """One run's levers and what it captures."""

    network: Network
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    baselines: Mapping[str, Tensor] = field(default_factory=dict)
    norm_scales: Mapping[str, Tensor] = field(default_factory=dict)
    capture: Sequence[str] = ()
    captured: dict[str, Tensor] = field(default_factory=dict)
    positions: Tensor | None = None
    """int[prompt] once the stream holds only the answer positions."""

    def keep(self, name: str, value: Tensor) -> None:
        if name in self.capture:
            self.captured[name] = value

    def scale(self, name: str, x: Tensor) -> Tensor:
        """What RMSNorm (Zhang and Sennrich 2019) divides by: sqrt(mean(x^2) + eps), or the given scale."""
        given = self.norm_scales.get(name)
        if given is None:
            scale = torch.sqrt(x.square().mean(-1) + self.network.config.norm_eps)
        else:
            scale = self._at_positions(_lead(given, 3), -1)
            scale = scale.expand(torch.broadcast_shapes(scale.shape, x.shape[:-1]))
        self.keep(name, scale)
        return scale.unsqueeze(-1)

    def read(self, norm: str, site: str, x: Tensor) -> Tensor:
        """The site that reads the residual stream through a norm."""
        return self.at_site(site, self.network.read(site, x, norm) / self.scale(norm, x))

    def at_site(self, name: str, value: Tensor) -> Tensor:
        """The site's nodes after activation top-k and the intervention x <- m x + (1 - m) b."""
        x = self.network.select(name, _activation_topk(value, self.network.config.activation_topk))
        self.keep(name, x)
        mask, baseline = self.masks.get(name), self.baselines.get(name)
        if mask is None:
            return x
        m = self._at_positions(mask[:, None, None, :] if mask.dim() == 2 else _lead(mask, 4), -2)
        if baseline is None:
            return m * x
        return m * x + (1 - m) * self._at_positions(_lead(baseline, 4), -2)

    def _at_positions(self, value: Tensor, axis: int) -> Tensor:
        if self.positions is None or value.shape[axis] == 1:
            return value
        return at_positions(value, self.positions, axis)


def forward(
    network: Network,
    tokens: Tensor,
    positions: Tensor | None,
    vocab: Tensor | None,
    masks: Mapping[str, Tensor] | None,
    baselines: Mapping[str, Tensor] | None,
    norm_scales: Mapping[str, Tensor] | None,
    capture: Sequence[str],
) -> Run:
    """See `faithcheck.model.Model.run`; names and shapes are taken as already checked."""
    run = Pass(network, masks or {}, baselines or {}, norm_scales or {}, capture)
    last = network.config.layers - 1
    narrow = positions is not None and not _captures_after(last, capture)
    x = network.tensors["embed"][tokens][None]
    for layer in range(network.config.layers):
        x = _attention(run, layer, x, positions if narrow and layer == last else None)
        x = _mlp(run, layer, x)
    return Run(_logits(run, x, tokens, positions, vocab), run.captured)


def at_positions(value: Tensor, positions: Tensor, axis: int) -> Tensor:
    """Keep one position of each prompt. The prompt axis is 1; `axis` is the position axis, kept with length 1."""
    shape = list(value.shape)
    shape[1], shape[axis] = len(positions), 1
    value = value.expand(*(n if i != 1 else len(positions) for i, n in enumerate(value.shape)))
    where = positions.view(1, -1, *(1 for _ in shape[2:])).expand(shape)
    return value.gather(axis % value.dim(), where)


def _captures_after(last: int, capture: Sequence[str]) -> bool:
    """Whether a capture needs all positions of the last layer's query side."""
    whole = {f"{last}.ln_1", f"{last}.attn_in", f"{last}.attn_k", f"{last}.attn_v"}
    return any(name == "ln_f" or (name.startswith(f"{last}.") and name not in whole) for name in capture)


def _attention(run: Pass, layer: int, x: Tensor, positions: Tensor | None) -> Tensor:
    net = run.network
    source = run.read(f"{layer}.ln_1", f"{layer}.attn_in", x)
    key = run.at_site(f"{layer}.attn_k", net.compute(f"{layer}.attn_k", source))
    value = run.at_site(f"{layer}.attn_v", net.compute(f"{layer}.attn_v", source))
    if positions is not None:
        source, x = at_positions(source, positions, -2), at_positions(x, positions, -2)
        run.positions = positions
    query = run.at_site(f"{layer}.attn_q", net.compute(f"{layer}.attn_q", source))
    q, k, v = (net.split_heads(f"{layer}.attn_{s}", t) for s, t in (("q", query), ("k", key), ("v", value)))
    pattern = _pattern(q, k, net.sink(layer), positions)
    run.keep(f"{layer}.attn_pattern", pattern)
    mixed = net.merge_heads(layer, pattern[..., :-1] @ v)
    out = run.at_site(f"{layer}.attn_out", net.compute(f"{layer}.attn_out", mixed))
    return net.write(f"{layer}.attn_out", x, out)


def _pattern(q: Tensor, k: Tensor, sink: Tensor, positions: Tensor | None) -> Tensor:
    """float[member, prompt, head, query, key + 1]: causal softmax over the keys and a sink whose value is zero."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    keys = torch.arange(k.shape[-2], device=k.device)
    rows = keys[:, None] if positions is None else positions[:, None, None, None]
    scores = scores.masked_fill(keys > rows, -torch.inf)
    column = sink[:, None, None].expand(*scores.shape[:-1], 1)
    return torch.cat([scores, column], -1).softmax(-1)


def _mlp(run: Pass, layer: int, x: Tensor) -> Tensor:
    net = run.network
    source = run.read(f"{layer}.ln_2", f"{layer}.mlp_in", x)
    neuron = run.at_site(f"{layer}.mlp_neuron", F.gelu(net.compute(f"{layer}.mlp_neuron", source)))
    out = run.at_site(f"{layer}.mlp_out", net.compute(f"{layer}.mlp_out", neuron))
    return net.write(f"{layer}.mlp_out", x, out)


def _logits(run: Pass, x: Tensor, tokens: Tensor, positions: Tensor | None, vocab: Tensor | None) -> Tensor:
    unembed = run.network.tensors["unembed"]
    x = x * run.network.tensors["ln_f.gain"] / run.scale("ln_f", x)
    if positions is not None and run.positions is None:
        x = at_positions(x, positions, -2)
    logits = x @ (unembed if vocab is None else unembed[vocab]).T
    if run.network.config.bigram:
        current = tokens if positions is None else tokens.gather(1, positions[:, None])
        table = run.network.tensors["bigram"][current]
        logits = logits + (table if vocab is None else table[..., vocab])
    return logits if positions is None else logits.squeeze(-2)


def _activation_topk(x: Tensor, share: float | None) -> Tensor:
    """Zero all but the largest max(1, int(share * nodes)) values by magnitude."""
    if share is None:
        return x
    index = x.abs().topk(max(1, int(share * x.shape[-1])), dim=-1).indices
    return torch.zeros_like(x).scatter(-1, index, x.gather(-1, index))


def _lead(value: Tensor, dims: int) -> Tensor:
    """The value with leading axes of length 1, to `dims` axes."""
    return value[(None,) * (dims - value.dim())]
