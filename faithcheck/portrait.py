"""What a report draws a circuit from: its nodes, the weights between them, and their activations on a few prompts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from faithcheck.model import Model
from faithcheck.subject import Subject

MOST_NODES = 2048
"""A circuit of more nodes is no picture: activations and edges are left out."""
MOST_EDGES = 8192
"""Of more edges, those of the largest weights are kept."""


def portrait(subject: Subject) -> dict[str, Tensor]:
    """`node` int[node, 2]: each kept node's site, by its place among the model's, and its number there; `head`
    int[node], -1 where it has none; `edge` int[edge, 2] between rows of `node`, with `weight` float[edge];
    `activation/circuit` and `activation/model` float[node, prompt, pos] on the prompts of `Bench.shown`, under the
    model's own norm scales, 0 in the padding.
    """
    model, nodes = subject.bench.model, subject.compiled.nodes
    order = {site: place for place, site in enumerate(model.sites)}
    heads = {name: site.head for name, site in model.sites.items()}
    found = {
        "node": torch.tensor([[order[site], node] for site, node in nodes], dtype=torch.int64).reshape(-1, 2),
        "head": torch.tensor(
            [-1 if (head := heads[site]) is None else int(head[node]) for site, node in nodes], dtype=torch.int64
        ),
    }
    if len(nodes) > MOST_NODES:
        return found
    return found | _edges(model, subject.circuit.keep) | _activations(subject)


def _edges(model: Model, keep: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Nothing where the model does not offer its weights."""
    if not hasattr(model, "edge_weights"):
        return {}
    first, ends, weights = _first_rows(model, keep), [], []
    for (source, target), weight in model.edge_weights({s: k.to(model.device) for s, k in keep.items()}).items():
        to, start = (weight != 0).nonzero().cpu().T
        ends.append(torch.stack([start + first[source], to + first[target]], 1))
        weights.append(weight[weight != 0].detach().float().cpu())
    edge, weight = torch.cat([torch.empty(0, 2, dtype=torch.int64), *ends]), torch.cat([torch.empty(0), *weights])
    largest = weight.abs().argsort(descending=True, stable=True)[:MOST_EDGES]
    return {"edge": edge[largest], "weight": weight[largest]}


def _first_rows(model: Model, keep: Mapping[str, Tensor]) -> dict[str, int]:
    """{site: the row of its first kept node}."""
    rows, first = 0, {}
    for site in model.sites:
        first[site] = rows
        rows += int(keep[site].sum())
    return first


def _activations(subject: Subject) -> dict[str, Tensor]:
    bench, model = subject.bench, subject.bench.model
    prompts = bench.prompts("test").select(bench.shown)
    keep = {site: kept.to(model.device) for site, kept in subject.circuit.keep.items()}
    used = [site for site in model.sites if keep[site].any()]
    if not used:
        return {}
    with torch.no_grad():
        whole = model.run(prompts.tokens, positions=prompts.positions, capture=[*used, *model.norms]).captured
        scales = {norm: whole[norm] for norm in model.norms}
        circuit = subject.compiled.run(prompts, norm_scales=scales, capture=used).captured
    inside = torch.arange(prompts.tokens.shape[1], device=model.device) <= prompts.positions[:, None]

    def by_node(value: Tensor) -> Tensor:
        value = value[0].expand(len(prompts), inside.shape[1], -1)
        return torch.where(inside[..., None], value, 0.0).float().permute(2, 0, 1)

    return {
        "activation/circuit": torch.cat([by_node(circuit[site]) for site in used]),
        "activation/model": torch.cat([by_node(whole[site][..., keep[site]]) for site in used]),
    }
