"""The weight-sparse transformer written a second time, in loops and float64, from its description alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Plain:
    """logits: float[member, prompt, pos, token]. captured: every site [member, prompt, pos, node], every norm's scale
    [member, prompt, pos], every attention pattern [member, prompt, head, query, key + 1], last the sink."""

    logits: np.ndarray
    captured: dict[str, np.ndarray]


@dataclass
class _Sequence:
    """One prompt under one member's levers: masks and baselines [pos, node], norm scales [pos]."""

    tensors: dict[str, np.ndarray]
    config: object
    masks: dict[str, np.ndarray]
    baselines: dict[str, np.ndarray]
    scales: dict[str, np.ndarray]
    captured: dict[str, np.ndarray] = field(default_factory=dict)

    def norm(self, name, x):
        scale = self.scales.get(name)
        if scale is None:
            scale = np.array([math.sqrt(np.mean(row**2) + self.config.norm_eps) for row in x])
        self.captured[name] = scale
        return np.stack([row / s for row, s in zip(x, scale, strict=True)]) * self.tensors[f"{name}.gain"]

    def site(self, name, x):
        if self.config.activation_topk is not None:
            x = np.stack([_largest(row, self.config.activation_topk) for row in x])
        self.captured[name] = x
        m = self.masks.get(name, np.ones_like(x))
        return m * x + (1 - m) * self.baselines.get(name, np.zeros_like(x))

    def linear(self, name, x):
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return np.stack([weight @ row + bias for row in x])

    def attention(self, layer, x):
        width = self.config.d_head
        source = self.site(f"{layer}.attn_in", self.norm(f"{layer}.ln_1", x))
        q, k, v = (self.site(f"{layer}.attn_{s}", self.linear(f"{layer}.attn_{s}", source)) for s in "qkv")
        pattern = np.zeros((self.config.heads, len(x), len(x) + 1))
        mixed = np.zeros_like(v)
        for head in range(self.config.heads):
            own = slice(head * width, (head + 1) * width)
            for query in range(len(x)):
                seen = [q[query, own] @ k[key, own] / math.sqrt(width) for key in range(query + 1)]
                share = _softmax(np.array([*seen, self.tensors[f"{layer}.sink"][head]]))
                pattern[head, query, : query + 1], pattern[head, query, -1] = share[:-1], share[-1]
                mixed[query, own] = sum(share[key] * v[key, own] for key in range(query + 1))
        self.captured[f"{layer}.attn_pattern"] = pattern
        return self.site(f"{layer}.attn_out", self.linear(f"{layer}.attn_out", mixed))

    def mlp(self, layer, x):
        source = self.site(f"{layer}.mlp_in", self.norm(f"{layer}.ln_2", x))
        neuron = self.site(f"{layer}.mlp_neuron", _gelu(self.linear(f"{layer}.mlp_neuron", source)))
        return self.site(f"{layer}.mlp_out", self.linear(f"{layer}.mlp_out", neuron))

    def logits(self, row):
        x = self.tensors["embed"][row]
        for layer in range(self.config.layers):
            x = x + self.attention(layer, x)
            x = x + self.mlp(layer, x)
        logits = self.norm("ln_f", x) @ self.tensors["unembed"].T
        return logits + self.tensors["bigram"][row] if self.config.bigram else logits


def plain_forward(model, tokens, masks=None, baselines=None, scales=None, members=1) -> Plain:
    """What `model.run` should give without positions and vocab; the model's tensors and config are all that is used."""
    tensors = {name: t.detach().double().numpy() for name, t in model.network.tensors.items()}
    rows = tokens.numpy()
    full = (members, *rows.shape)
    masks, baselines = ({s: spread(v, full) for s, v in (part or {}).items()} for part in (masks, baselines))
    scales = {n: np.broadcast_to(v.detach().double().numpy(), full) for n, v in (scales or {}).items()}
    runs = []
    for member in range(members):
        for prompt, row in enumerate(rows):
            own = ({n: v[member, prompt] for n, v in part.items()} for part in (masks, baselines, scales))
            sequence = _Sequence(tensors, model.config, *own)
            runs.append((sequence.logits(row), sequence.captured))
    return Plain(
        stack([logits for logits, _ in runs], members),
        {name: stack([captured[name] for _, captured in runs], members) for name in runs[0][1]},
    )


def spread(value, full):
    """[member, node] or broadcastable, as float[member, prompt, pos, node]."""
    value = value.detach().double().numpy()
    value = value[:, None, None, :] if value.ndim == 2 else value
    return np.broadcast_to(value, (*full, value.shape[-1]))


def stack(values, members):
    return np.stack(values).reshape(members, -1, *values[0].shape)


def _largest(row, share):
    kept = sorted(range(len(row)), key=lambda i: -abs(row[i]))[: max(1, int(share * len(row)))]
    return np.array([x if i in kept else 0.0 for i, x in enumerate(row)])


def _softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def _gelu(x):
    return np.vectorize(lambda z: 0.5 * z * (1 + math.erf(z / math.sqrt(2))))(x)
