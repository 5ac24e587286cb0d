"""What the nodes outside all paths do: read anything, write to channels that no path reads, and leak a little noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from faithcheck_circuits.planted.weights import Weights

READS_PATHS = 0.3
"""The share of these nodes that reads the features of paths too."""


def fill_embedding(weights: Weights, length: float) -> None:
    """Let every word's embedding be `length` long, give or take, on the channels of no path."""
    noise = weights.normal(*weights.tensors["embed"].shape) * weights.rest
    weights.tensors["embed"] += length * noise / float(weights.rest.sum()) ** 0.5


def fill_attention(weights: Weights, layer: int, heads: Sequence[int]) -> Tensor:
    """Random weights for whole heads; returns the v nodes that write, int[node]."""
    width = weights.config.d_head
    rows = torch.cat([torch.arange(h * width, (h + 1) * width) for h in heads])
    for kind in ("attn_q", "attn_k", "attn_v"):
        weights.tensors[f"{layer}.{kind}.weight"][rows] = _reading(weights, len(rows))
    return rows


def fill_mlp(weights: Weights, layer: int, neurons: Sequence[int]) -> Tensor:
    """Random weights for neurons; returns them, int[node]."""
    rows = torch.tensor(neurons)
    weights.tensors[f"{layer}.mlp_neuron.weight"][rows] = _reading(weights, len(rows))
    weights.tensors[f"{layer}.mlp_neuron.bias"][rows] = 0.3 * weights.normal(len(rows))
    return rows


def fill_bank(weights: Weights, layer: int, neurons: Sequence[int], read: Tensor) -> Tensor:
    """Let neurons read `read`, more or less steeply and with random signs, and noise; returns them, int[node]."""
    rows, signs = torch.tensor(neurons), weights.normal(len(neurons)).sign()
    steep = signs * (0.5 + 1.5 * torch.rand(len(neurons), generator=weights.generator))
    weights.add(f"{layer}.mlp_neuron", torch.zeros(weights.config.d_mlp).index_copy(0, rows, steep), read)
    weights.tensors[f"{layer}.mlp_neuron.weight"][rows] += 0.5 * _reading(weights, len(rows))
    weights.tensors[f"{layer}.mlp_neuron.bias"][rows] = 0.3 * weights.normal(len(rows))
    return rows


def write_back(weights: Weights, site: str, sources: Tensor, tokens: Tensor, length: float) -> None:
    """Let source nodes write at random to the channels of no path, `length` long on average over tokens."""
    matrix = weights.tensors[f"{site}.weight"]
    block = weights.normal(weights.config.d_model, len(sources)) * weights.rest[:, None]
    matrix[:, sources] = block
    found = weights.capture(tokens, site)[..., weights.rest].norm(dim=-1).mean()
    matrix[:, sources] = block * (length / found)


def leak(weights: Weights, site: str, sources: Tensor, tokens: Tensor, feature: Tensor, amount: float) -> None:
    """Let source nodes write noise into a feature: root mean square `amount` at the last position."""
    matrix = weights.tensors[f"{site}.weight"]
    before = weights.capture(tokens, site)[:, -1] @ feature
    noise = torch.outer(feature, weights.normal(len(sources)))
    matrix[:, sources] += noise
    found = (weights.capture(tokens, site)[:, -1] @ feature - before).square().mean().sqrt()
    matrix[:, sources] += noise * (amount / found - 1)


def write_tickets(weights: Weights, layer: int, neurons: Tensor, tokens: Tensor, feature: Tensor) -> None:
    """Let neurons write to a feature at the last position so that all together hardly write anything.

    The weights are random, less their part in the four main directions of the neurons' activations; the contributions
    of single neurons have a root sum of squares of 1.
    """
    active = weights.capture(tokens, f"{layer}.mlp_neuron")[:, -1, neurons]
    main = torch.linalg.svd(active, full_matrices=False).Vh[:4]
    row = weights.normal(len(neurons))
    row = row - (row @ main.T) @ main
    row = row / (active * row).square().sum(1).mean().sqrt()
    weights.tensors[f"{layer}.mlp_out.weight"][:, neurons] += torch.outer(feature, row)


def _reading(weights: Weights, nodes: int) -> Tensor:
    """float[node, d_model]: random rows over the channels of no path; some read all features of paths too."""
    rows = weights.normal(nodes, weights.config.d_model) * weights.rest
    some = torch.rand(nodes, 1, generator=weights.generator) < READS_PATHS
    rows = rows + some * (weights.normal(nodes, len(weights.features)) @ torch.stack(weights.features))
    return rows * (weights.rng.uniform(0.7, 1.5) / weights.config.d_model**0.5)
