"""Circuits of a given number of nodes, the same work in a model of any width."""

from __future__ import annotations

import torch
from faithcheck_circuits.transformer.model import SparseTransformer
from torch import Tensor

PER_HEAD = 4
"""Nodes of a kept head at each of its queries, keys and values."""


def spread(model: SparseTransformer, nodes: int, seed: int = 0) -> dict[str, Tensor]:
    """{site: bool[node]} with `nodes` nodes in all, as many at every site (one more at the first ones)."""
    generator = torch.Generator().manual_seed(seed)
    least, more = divmod(nodes, len(model.sites))
    keep = {}
    heads = {layer: torch.randperm(model.config.heads, generator=generator) for layer in range(model.config.layers)}
    for i, (name, site) in enumerate(model.sites.items()):
        count = least + (i < more)
        if site.head is None:
            chosen = torch.randperm(site.size, generator=generator)[:count]
        else:
            place = torch.arange(count)
            chosen = heads[site.layer][place // PER_HEAD] * model.config.d_head + place % PER_HEAD
        keep[name] = torch.zeros(site.size, dtype=torch.bool).index_fill(0, chosen, True)
    return keep


def members(model: SparseTransformer, nodes: int, count: int) -> dict[str, Tensor]:
    """{site: bool[member, node]}: other nodes for every member, as many of them."""
    each = [spread(model, nodes, seed) for seed in range(count)]
    return {site: torch.stack([keep[site] for keep in each]) for site in model.sites}
