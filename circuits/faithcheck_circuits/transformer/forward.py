"""The forward pass of a whole or restricted network, with the intervention at every site and norm.

Levers and what is captured have the axes of `faithcheck.model.Model.run`; inside, activations are float[member, node,
pos, prompt] (see `network.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from faithcheck.model import Run
from faithcheck_circuits.transformer.attention import attend
from faithcheck_circuits.transformer.network import Network, Stream
from faithcheck_circuits.transformer.source import Source, at_positions


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
    """int[prompt] or int[member, prompt] once the stream holds only the answer positions."""
    on: Mapping[str, Tensor] = field(init=False)
    """{site: int[node]}: the nodes that are on in some member, where a mask says so. Not on a GPU, which would wait."""

    def __post_init__(self) -> None:
        skips = {
            s: m for s, m in self.masks.items() if self.network.skips_off and m.dim() == 2 and m.device.type == "cpu"
        }
        self.on = {site: mask.detach().any(0).nonzero().flatten() for site, mask in skips.items()}

    def keep(self, name: str, value: Tensor) -> None:
        """Capture a value float[member, ..., pos, prompt] as float[member, prompt, pos, ...]."""
        if name in self.capture:
            self.captured[name] = value.permute(0, *range(value.dim() - 1, 0, -1)).contiguous()

    def scale(self, name: str, stream: Stream) -> Tensor:
        """What RMSNorm (Zhang and Sennrich 2019) divides by: sqrt(mean(x^2) + eps), or the given scale."""
        given = self.norm_scales.get(name)
        if given is None:
            config = self.network.config
            scale = torch.sqrt(stream.square() / config.d_model + config.norm_eps)
        else:
            scale = self._at_positions(_lead(given, 3).transpose(1, 2))
            scale = scale.expand(torch.broadcast_shapes(scale.shape, (1, *stream.x.shape[2:])))
        self.keep(name, scale)
        return scale.unsqueeze(1)

    def read(self, norm: str, site: str, stream: Stream) -> Source:
        """The site that reads the residual stream through a norm."""
        return self.source(site, self.network.read(site, stream, norm) / self.scale(norm, stream))

    def compute(self, site: str, source: Source) -> Tensor:
        """The site's values before its activation function."""
        return self.network.compute(site, source, self.on.get(site))

    def source(self, name: str, value: Tensor, gelu: bool = False) -> Source:
        """A site that only matrices read: its mask is left to them where that is all there is to do."""
        config, on = self.network.config, self.on.get(name)
        if on is None or name in self.baselines or name in self.capture or config.activation_topk is not None:
            return Source(self.at_site(name, F.gelu(value) if gelu else value))
        return Source(value, gelu, self.masks[name], on)

    def at_site(self, name: str, value: Tensor) -> Tensor:
        """The site's nodes after activation top-k and the intervention x <- m x + (1 - m) b."""
        x = self.network.select(name, _activation_topk(value, self.network.config.activation_topk))
        self.keep(name, x)
        mask, baseline = self.masks.get(name), self.baselines.get(name)
        if mask is None:
            return x
        m = mask[:, :, None, None] if mask.dim() == 2 else self._over_nodes(mask)
        if baseline is None:
            return m * x
        return m * x + (1 - m) * self._over_nodes(baseline)

    def still(self, layer: int) -> Tensor | None:
        """int[head] of heads whose v nodes are all off, and their q or their k nodes too; None where none is known."""
        names = [f"{layer}.attn_{s}" for s in "vqk"]
        if any(name not in self.on or name in self.baselines for name in names):
            return None
        heads = [torch.zeros(self.network.config.heads, dtype=torch.bool) for _ in names]
        for used, name in zip(heads, names, strict=True):
            used[self.on[name] // self.network.config.d_head] = True
        v, q, k = heads
        return (~v & ~(q & k)).nonzero().flatten()

    def _over_nodes(self, lever: Tensor) -> Tensor:
        """A lever over [member, prompt, pos, node] as one over [member, node, pos, prompt]."""
        return self._at_positions(_lead(lever, 4).permute(0, 3, 2, 1))

    def _at_positions(self, value: Tensor) -> Tensor:
        if self.positions is None or value.shape[-2] == 1:
            return value
        return at_positions(value, self.positions)


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
    """See `SparseTransformer.run`; names and shapes are taken as already checked."""
    run = Pass(network, masks or {}, baselines or {}, norm_scales or {}, capture)
    last = network.config.layers - 1
    narrow = positions is not None and not _captures_after(last, capture)
    stream = network.stream((tokens if tokens.dim() == 3 else tokens[None]).transpose(1, 2))
    for layer in range(network.config.layers):
        stream = _attention(run, layer, stream, positions if narrow and layer == last else None)
        stream = _mlp(run, layer, stream)
    return Run(_logits(run, stream, positions, vocab), run.captured)


def _captures_after(last: int, capture: Sequence[str]) -> bool:
    """Whether a capture needs all positions of the last layer's query side."""
    whole = {f"{last}.ln_1", f"{last}.attn_in", f"{last}.attn_k", f"{last}.attn_v"}
    return any(name == "ln_f" or (name.startswith(f"{last}.") and name not in whole) for name in capture)


def _attention(run: Pass, layer: int, stream: Stream, positions: Tensor | None) -> Stream:
    net = run.network
    source = run.read(f"{layer}.ln_1", f"{layer}.attn_in", stream)
    key = run.at_site(f"{layer}.attn_k", run.compute(f"{layer}.attn_k", source))
    value = run.at_site(f"{layer}.attn_v", run.compute(f"{layer}.attn_v", source))
    if positions is not None:
        source, stream = source.at(positions), stream.at(positions)
        run.positions = positions
    query = run.at_site(f"{layer}.attn_q", run.compute(f"{layer}.attn_q", source))
    q, k, v = (net.split_heads(f"{layer}.attn_{s}", t) for s, t in (("q", query), ("k", key), ("v", value)))
    mixed, pattern = attend(q, k, v, net.sink(layer), positions, run.still(layer))
    if f"{layer}.attn_pattern" in run.capture:
        run.captured[f"{layer}.attn_pattern"] = pattern.permute(0, 4, 1, 3, 2).contiguous()
    out = run.at_site(f"{layer}.attn_out", run.compute(f"{layer}.attn_out", Source(net.merge_heads(layer, mixed))))
    return net.write(f"{layer}.attn_out", stream, out)


def _mlp(run: Pass, layer: int, stream: Stream) -> Stream:
    source = run.read(f"{layer}.ln_2", f"{layer}.mlp_in", stream)
    neuron = run.source(f"{layer}.mlp_neuron", run.compute(f"{layer}.mlp_neuron", source), gelu=True)
    out = run.at_site(f"{layer}.mlp_out", run.compute(f"{layer}.mlp_out", neuron))
    return run.network.write(f"{layer}.mlp_out", stream, out)


def _logits(run: Pass, stream: Stream, positions: Tensor | None, vocab: Tensor | None) -> Tensor:
    scale = run.scale("ln_f", stream)
    if positions is not None and run.positions is None:
        stream, scale = stream.at(positions), at_positions(scale, positions)
    logits = run.network.logits(stream, vocab) / scale.permute(0, 3, 2, 1)
    if run.network.config.bigram:
        table = run.network.tensors["bigram"][stream.tokens.transpose(1, 2)]
        logits = logits + (table if vocab is None else table[..., vocab])
    return logits if positions is None else logits.squeeze(-2)


def _activation_topk(x: Tensor, share: float | None) -> Tensor:
    """Zero all but the largest max(1, int(share * nodes)) values by magnitude, of float[member, node, pos, prompt]."""
    if share is None:
        return x
    index = x.abs().topk(max(1, int(share * x.shape[1])), dim=1).indices
    return torch.zeros_like(x).scatter(1, index, x.gather(1, index))


def _lead(value: Tensor, dims: int) -> Tensor:
    """The value with leading axes of length 1, to `dims` axes."""
    return value[(None,) * (dims - value.dim())]
