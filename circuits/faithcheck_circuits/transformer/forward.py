"""The forward pass of a whole or restricted network, with the intervention at every site and norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from faithcheck.model import Run
from faithcheck_circuits.transformer.attention import attend
from faithcheck_circuits.transformer.columns import Answers, at_columns
from faithcheck_circuits.transformer.levers import Levers, levers_of
from faithcheck_circuits.transformer.network import Network, Stream
from faithcheck_circuits.transformer.topk import largest


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

    def keep_pattern(self, layer: int, pattern: Tensor) -> None:
        """As float[member, prompt, head, query, key + 1], of float[member, head, column, key + 1]."""
        name = f"{layer}.attn_pattern"
        if name in self._capture:
            self.captured[name] = self.columns.spread(pattern.movedim(2, -1)).transpose(2, 3).contiguous()

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

    def read(self, norm: str, site: str, stream: Stream) -> Tensor:
        """The site that reads the residual stream through a norm."""
        return self.at_site(site, self.network.read(site, stream, norm) / self.scale(norm, stream))

    def at_site(self, name: str, value: Tensor) -> Tensor:
        """The site's nodes after activation top-k and the intervention x <- m x + (1 - m) b."""
        x = self.network.select(name, largest(value, self.network.config.activation_topk, dim=1))
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
    key = run.at_site(f"{layer}.attn_k", net.compute(f"{layer}.attn_k", source))
    value = run.at_site(f"{layer}.attn_v", net.compute(f"{layer}.attn_v", source))
    if answers is not None:
        source, stream, run.answers = at_columns(source, answers.columns), stream.at(answers.columns), answers
    query = run.at_site(f"{layer}.attn_q", net.compute(f"{layer}.attn_q", source))
    q, k, v = (net.split_heads(f"{layer}.attn_{s}", t) for s, t in (("q", query), ("k", key), ("v", value)))
    queries = run.columns.queries if answers is None else answers.queries
    mixed, pattern = attend(q, k, v, net.sink(layer), run.columns, queries)
    run.keep_pattern(layer, pattern)
    out = run.at_site(f"{layer}.attn_out", net.compute(f"{layer}.attn_out", net.merge_heads(layer, mixed)))
    return net.write(f"{layer}.attn_out", stream, out)


def _mlp(run: Pass, layer: int, stream: Stream) -> Stream:
    source = run.read(f"{layer}.ln_2", f"{layer}.mlp_in", stream)
    neuron = run.at_site(f"{layer}.mlp_neuron", F.gelu(run.network.compute(f"{layer}.mlp_neuron", source)))
    out = run.at_site(f"{layer}.mlp_out", run.network.compute(f"{layer}.mlp_out", neuron))
    return run.network.write(f"{layer}.mlp_out", stream, out)


def _logits(run: Pass, stream: Stream, answers: Answers | None, vocab: Tensor | None) -> Tensor:
    scale = run.scale("ln_f", stream)
    if answers is not None and run.answers is None:
        stream, scale = stream.at(answers.columns), at_columns(scale, answers.columns)
    logits = run.network.logits(stream, vocab, scale)
    if run.network.config.bigram:
        tokens = run.columns.tokens if answers is None else at_columns(run.columns.tokens, answers.columns)
        table = run.network.tensors["bigram"][tokens]
        logits = logits + (table if vocab is None else table[..., vocab])
    if answers is None:
        return run.columns.spread(logits.transpose(1, 2))
    return logits if answers.of_prompt is None else logits.index_select(1, answers.of_prompt)
