"""The forward pass of a whole or restricted network, with the intervention at every site and norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from faithcheck.model import Run
from faithcheck_circuits.transformer.attention import attend
from faithcheck_circuits.transformer.columns import Answers
from faithcheck_circuits.transformer.levers import Levers, levers_of
from faithcheck_circuits.transformer.network import Network, Stream
from faithcheck_circuits.transformer.source import Source, at_columns


class Pass:
    """One run: its levers, what it captures, and whether it has come to where only the answers are computed."""

    def __init__(self, network: Network, levers: Levers, capture: Sequence[str]):
        self.network, self.levers, self._capture = network, levers, capture
        self.columns = levers.columns
        self.captured: dict[str, Tensor] = {}
        self.answers: Answers | None = None

    def keep(self, name: str, value: Tensor) -> None:
        """Capture a value float[member, ..., column] as float[member, prompt, pos, ...]."""
        if name in self._capture:
            self.captured[name] = self.columns.spread(value).contiguous()

    def keep_pattern(self, layer: int, patterns: Sequence[Tensor]) -> None:
        """As float[member, prompt, head, query, key + 1], 0 at keys that a query does not see."""
        name, keys = f"{layer}.attn_pattern", self.columns.place.shape[1]
        if name not in self._capture:
            return
        rows = [F.pad(p[:, :, :-1], (0, 0, 0, keys + 1 - p.shape[2])) for p in patterns]
        whole = torch.cat([torch.cat([r, p[:, :, -1:]], 2) for r, p in zip(rows, patterns, strict=True)], 3)
        self.captured[name] = self.columns.spread(whole).transpose(2, 3).contiguous()

    def scale(self, name: str, stream: Stream) -> Tensor:
        """What RMSNorm (Zhang and Sennrich 2019) divides by: sqrt(mean(x^2) + eps), or the given scale."""
        given = self.levers.norm_scales.get(name)
        if given is None:
            config = self.network.config
            scale = torch.sqrt(stream.square() / config.d_model + config.norm_eps)
        else:
            scale = self._here(given)
            scale = scale.expand(-1, stream.x.shape[2])
        self.keep(name, scale)
        return scale.unsqueeze(1)

    def read(self, norm: str, site: str, stream: Stream) -> Source:
        """The site that reads the residual stream through a norm."""
        return self.source(site, self.network.read(site, stream, norm) / self.scale(norm, stream))

    def compute(self, site: str, source: Source) -> Tensor:
        """The site's values before its activation function. Captured ones may get gradients where their mask is 0."""
        return self.network.compute(site, source, None if site in self._capture else self.levers.on.get(site))

    def source(self, name: str, value: Tensor, gelu: bool = False) -> Source:
        """A site that only matrices read: its mask is left to them where that is all there is to do."""
        config, on = self.network.config, self.levers.on.get(name)
        if on is None or name in self.levers.baselines or name in self._capture or config.activation_topk is not None:
            return Source(self.at_site(name, F.gelu(value) if gelu else value))
        return Source(value, gelu, self.levers.masks[name][:, :, 0], on)

    def at_site(self, name: str, value: Tensor) -> Tensor:
        """The site's nodes after activation top-k and the intervention x <- m x + (1 - m) b."""
        x = self.network.select(name, _activation_topk(value, self.network.config.activation_topk))
        self.keep(name, x)
        mask, baseline = self.levers.masks.get(name), self.levers.baselines.get(name)
        if mask is None:
            return x
        m = self._here(mask)
        return m * x if baseline is None else m * x + (1 - m) * self._here(baseline)

    def _here(self, lever: Tensor) -> Tensor:
        """A lever float[member, ..., column or 1] at the columns that are computed now."""
        return lever if self.answers is None or lever.shape[-1] == 1 else at_columns(lever, self.answers.columns)


def forward(
    network: Network,
    tokens: Tensor,
    positions: Tensor | None = None,
    vocab: Tensor | None = None,
    masks: Mapping[str, Tensor] | None = None,
    baselines: Mapping[str, Tensor] | None = None,
    norm_scales: Mapping[str, Tensor] | None = None,
    capture: Sequence[str] = (),
) -> Run:
    """See `SparseTransformer.run`; names and shapes are taken as already checked."""
    last = network.config.layers - 1
    if positions is not None and positions.dim() == 2 and len(positions) == 1:
        positions = positions[0]
    narrow = positions is not None and not _captures_after(last, capture)
    levers = levers_of(
        network,
        tokens if tokens.dim() == 3 else tokens[None],
        None if capture else positions,
        (masks or {}, baselines or {}, norm_scales or {}),
    )
    run = Pass(network, levers, capture)
    answers = None if positions is None else levers.columns.answers(positions)
    stream = network.stream(levers.columns.tokens)
    for layer in range(network.config.layers):
        stream = _attention(run, layer, stream, answers if narrow and layer == last else None)
        stream = _mlp(run, layer, stream)
    return Run(_logits(run, stream, answers, vocab), run.captured)


def _captures_after(last: int, capture: Sequence[str]) -> bool:
    """Whether a capture needs all positions of the last layer's query side."""
    whole = {f"{last}.ln_1", f"{last}.attn_in", f"{last}.attn_k", f"{last}.attn_v"}
    return any(name == "ln_f" or (name.startswith(f"{last}.") and name not in whole) for name in capture)


def _attention(run: Pass, layer: int, stream: Stream, answers: Answers | None) -> Stream:
    net = run.network
    source = run.read(f"{layer}.ln_1", f"{layer}.attn_in", stream)
    key = run.at_site(f"{layer}.attn_k", run.compute(f"{layer}.attn_k", source))
    value = run.at_site(f"{layer}.attn_v", run.compute(f"{layer}.attn_v", source))
    if answers is not None:
        source, stream, run.answers = source.at(answers.columns), stream.at(answers.columns), answers
    query = run.at_site(f"{layer}.attn_q", run.compute(f"{layer}.attn_q", source))
    q, k, v = (net.split_heads(f"{layer}.attn_{s}", t) for s, t in (("q", query), ("k", key), ("v", value)))
    queries = run.columns.queries if answers is None else [answers.queries]
    still = run.levers.still(layer, net.config.d_head, net.config.heads)
    mixed, patterns = attend(q, k, v, net.sink(layer), run.columns, queries, still)
    run.keep_pattern(layer, patterns)
    out = run.at_site(f"{layer}.attn_out", run.compute(f"{layer}.attn_out", Source(net.merge_heads(layer, mixed))))
    return net.write(f"{layer}.attn_out", stream, out)


def _mlp(run: Pass, layer: int, stream: Stream) -> Stream:
    source = run.read(f"{layer}.ln_2", f"{layer}.mlp_in", stream)
    neuron = run.source(f"{layer}.mlp_neuron", run.compute(f"{layer}.mlp_neuron", source), gelu=True)
    out = run.at_site(f"{layer}.mlp_out", run.compute(f"{layer}.mlp_out", neuron))
    return run.network.write(f"{layer}.mlp_out", stream, out)


def _logits(run: Pass, stream: Stream, answers: Answers | None, vocab: Tensor | None) -> Tensor:
    scale = run.scale("ln_f", stream)
    if answers is not None and run.answers is None:
        stream, scale = stream.at(answers.columns), at_columns(scale, answers.columns)
    logits = run.network.logits(stream, vocab) / scale.transpose(1, 2)
    if run.network.config.bigram:
        table = run.network.tensors["bigram"][stream.tokens]
        logits = logits + (table if vocab is None else table[..., vocab])
    if answers is None:
        return run.columns.spread(logits.transpose(1, 2))
    return logits if answers.of_prompt is None else logits.index_select(1, answers.of_prompt)


def _activation_topk(x: Tensor, share: float | None) -> Tensor:
    """Zero all but the largest max(1, int(share * nodes)) values by magnitude, of float[member, node, column]."""
    if share is None:
        return x
    index = x.abs().topk(max(1, int(share * x.shape[1])), dim=1).indices
    return torch.zeros_like(x).scatter(1, index, x.gather(1, index))
