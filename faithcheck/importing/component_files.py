"""The files of component graphs: those of EAP-IG and of the MIB benchmark's circuit track, as JSON or as `.pt`.

Read as the tool that writes them (github.com/hannamw/EAP-IG) does: `nodes` maps `a{layer}.h{head}`, `m{layer}`, `input`
and `logits` to whether they are in the graph, or to `{"in_graph": ..., "score": ...}`; `edges` maps `a0.h1->m2` or
`m0->a1.h3<q>` to `{"score": ..., "in_graph": ...}`. The `.pt` form has the same as tensors, by the names of their axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from faithcheck.errors import UserError
from faithcheck.importing.component_graph import Graph, graph

NAME = "component graph"
PT_KEYS = frozenset({"src_nodes", "dst_nodes", "edges_in_graph", "nodes_in_graph"})


def from_json(data: Mapping[str, Any]) -> Graph:
    """Raises UserError where the data is no such graph, is of single neurons, or marks nothing as in the graph."""
    nodes, edges = _mapping(data, "nodes"), _mapping(data, "edges")
    marked = {name: _in_graph(name, value) for name, value in nodes.items()}
    crossed = [name for name, value in edges.items() if _in_graph(name, value)]
    neurons = [*_mapping(data, "neurons").items()]
    neurons += [
        (name, value["neurons"]) for name, value in nodes.items() if isinstance(value, dict) and "neurons" in value
    ]
    return graph(marked, crossed, neurons, _mapping(data, "cfg"))


def from_tensors(data: Mapping[str, Any]) -> Graph:
    """`edges_in_graph` bool[src, dst] and `nodes_in_graph` bool[src] by the names `src_nodes` and `dst_nodes`.

    Raises UserError as `from_json` does.
    """
    sources, targets = _names(data, "src_nodes"), _names(data, "dst_nodes")
    nodes = _flags(data, "nodes_in_graph", [len(sources)])
    edges = _flags(data, "edges_in_graph", [len(sources), len(targets)])
    crossed = [f"{sources[src]}->{targets[dst]}" for src, dst in edges.nonzero().tolist()]
    neurons: list[tuple[str, Any]] = []
    if "neurons_in_graph" in data:
        rows = _flags(data, "neurons_in_graph", [len(sources), None])
        neurons += zip(sources, rows.tolist(), strict=True)
    return graph(dict(zip(sources, nodes.tolist(), strict=True)), crossed, neurons, _mapping(data, "cfg"))


def _in_graph(name: str, value: Any) -> bool:
    found = value.get("in_graph", False) if isinstance(value, dict) else value
    if not isinstance(found, bool):
        raise UserError(f"{name!r}: in_graph is {found!r:.60}, allowed: true or false")
    return found


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise UserError(f"{key!r} is a {type(value).__name__}, allowed: a mapping")
    return value


def _names(data: Mapping[str, Any], key: str) -> list[str]:
    value = data[key]
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise UserError(f"{key!r} is no list of names")
    if len(set(value)) < len(value):
        raise UserError(f"{key!r} has a name twice")
    return list(value)


def _flags(data: Mapping[str, Any], key: str, shape: list[int | None]) -> Tensor:
    """A tensor of flags, bool of `shape`, in which None is any size."""
    value = data[key]
    if not isinstance(value, Tensor) or value.dim() != len(shape):
        raise UserError(f"{key!r} is no tensor of {len(shape)} axes")
    if any(want not in (None, size) for want, size in zip(shape, value.shape, strict=True)):
        raise UserError(f"{key!r} has the shape {tuple(value.shape)}, but there are {shape} names")
    if not ((value == 0) | (value == 1)).all():
        raise UserError(f"{key!r} holds other values than 0 and 1")
    return value.to("cpu").bool()
