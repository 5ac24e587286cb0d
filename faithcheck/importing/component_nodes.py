"""What nodes the heads and MLPs of a component graph stand for in a model.

A head stands for its q, k and v nodes, where keys are grouped for those of the key and value head that it reads. An MLP
stands for every node of its layer's MLP sites. The sites around them (`attn_in`, `attn_out`) have no heads: a component
graph ablates none of their channels, so they are kept as wholes in every layer with a head in the graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from torch import Tensor

from faithcheck.errors import UserError
from faithcheck.importing.component_graph import Component, Graph
from faithcheck.model import Model, Site


def keep(graph: Graph, model: Model) -> dict[str, Tensor]:
    """{site: bool[node]} of every site. Raises UserError where the graph is of a model of another shape."""
    heads = _query_heads(model)
    mlps = {site.layer for site in model.sites.values() if site.kind.startswith("mlp_")}
    _check_shape(graph, model, heads)
    for component in sorted(graph.components, key=str):
        _check_exists(component, model, heads, mlps)
    return {name: _kept(site, graph.components, heads.get(site.layer, 0)) for name, site in model.sites.items()}


def still_acting(graph: Graph, model: Model) -> list[Component]:
    """The heads outside the graph that cannot be ablated: their values are those of a head inside (grouped keys)."""
    found = []
    for layer, heads in _query_heads(model).items():
        values = next(site for site in model.sites.values() if (site.layer, site.kind) == (layer, "attn_v"))
        own = {head: _read_by(head, values, heads) for head in range(heads)}
        inside = {head for head in own if Component(layer, head) in graph.components}
        kept = {own[head] for head in inside}
        found += [Component(layer, head) for head in own if head not in inside and own[head] in kept]
    return found


def _kept(site: Site, components: Iterable[Component], heads: int) -> Tensor:
    here = [component.head for component in components if component.layer == site.layer]
    own = [head for head in here if head is not None]
    if site.kind.startswith("mlp_"):
        return torch.full((site.size,), None in here)
    if not site.kind.startswith("attn_"):
        return torch.ones(site.size, dtype=torch.bool)
    if site.head is None:
        return torch.full((site.size,), bool(own))
    read = [_read_by(head, site, heads) for head in own]
    return torch.isin(site.head.cpu(), torch.tensor(read, dtype=site.head.dtype))


def _query_heads(model: Model) -> dict[int, int]:
    """{layer: how many query heads it has}."""
    return {site.layer: _heads(site) for site in model.sites.values() if site.kind == "attn_q"}


def _read_by(head: int, site: Site, heads: int) -> int:
    """The head of a q, k or v site that query head `head` of `heads` uses: consecutive heads share one."""
    return head * _heads(site) // heads


def _heads(site: Site) -> int:
    """How many heads the nodes of a site belong to."""
    if site.head is None:
        raise UserError(f"the model does not say which heads the nodes of layer {site.layer}'s {site.kind} belong to")
    return int(site.head.max()) + 1


def _check_shape(graph: Graph, model: Model, heads: dict[int, int]) -> None:
    has = {
        "n_layers": {1 + max(site.layer for site in model.sites.values())},
        "n_heads": set(heads.values()),
        "d_model": {site.size for site in model.sites.values() if site.kind in ("attn_in", "mlp_in")},
    }
    for key, value in graph.shape.items():
        if has[key] and value not in has[key]:
            found = " or ".join(map(str, sorted(has[key])))
            raise UserError(f"cfg: the graph is of a model with {key} = {value}, {model.name} has {found}")


def _check_exists(component: Component, model: Model, heads: dict[int, int], mlps: Collection[int]) -> None:
    if component.head is None:
        known, has = component.layer in mlps, f"MLPs in the layers {_list(mlps)}"
    else:
        known = component.head < heads.get(component.layer, 0)
        has = f"heads 0 to {heads[component.layer] - 1} there" if component.layer in heads else f"layers {_list(heads)}"
    if not known:
        raise UserError(f"{component} is in the graph, but {model.name} has {has}")


def _list(layers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(layers))) or "none"
