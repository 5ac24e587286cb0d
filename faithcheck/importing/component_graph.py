"""Circuits of heads and MLPs: the graphs of EAP-IG and of the MIB benchmark's circuit track, as JSON or as `.pt`.

Read as the tool that writes them (github.com/hannamw/EAP-IG) does: `nodes` maps `a{layer}.h{head}`, `m{layer}`, `input`
and `logits` to whether they are in the graph, or to `{"in_graph": ..., "score": ...}`; `edges` maps `a0.h1->m2` or
`m0->a1.h3<q>` to `{"score": ..., "in_graph": ...}`. The `.pt` form has the same as tensors, by the names of their axes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from faithcheck.errors import UserError

NAME = "component graph"
PT_KEYS = frozenset({"src_nodes", "dst_nodes", "edges_in_graph", "nodes_in_graph"})
_NUMBER = "(0|[1-9][0-9]{0,5})"
_COMPONENT = re.compile(rf"a{_NUMBER}\.h{_NUMBER}|m{_NUMBER}")
_INPUT_OF_HEAD = re.compile(r"(a[0-9]+\.h[0-9]+)<[qkv]>")
_ENDS = ("input", "logits")


class Component(NamedTuple):
    """A head, or where `head` is None the MLP of a layer."""

    layer: int
    head: int | None

    def __str__(self) -> str:
        return f"m{self.layer}" if self.head is None else f"a{self.layer}.h{self.head}"


@dataclass(frozen=True)
class Graph:
    """The components of a circuit, and what the file says of the model that it was made on."""

    components: frozenset[Component]
    shape: Mapping[str, int]


def from_json(data: Mapping[str, Any]) -> Graph:
    """Raises UserError where the data is no such graph, is of single neurons, or marks nothing as in the graph."""
    nodes, edges = _mapping(data, "nodes"), _mapping(data, "edges")
    marked = {name: _in_graph(name, value) for name, value in nodes.items()}
    crossed = [name for name, value in edges.items() if _in_graph(name, value)]
    neurons = [*_mapping(data, "neurons").items()]
    neurons += [
        (name, value["neurons"]) for name, value in nodes.items() if isinstance(value, dict) and "neurons" in value
    ]
    return _graph(marked, crossed, neurons, _mapping(data, "cfg"))


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
    return _graph(dict(zip(sources, nodes.tolist(), strict=True)), crossed, neurons, _mapping(data, "cfg"))


def _graph(
    marked: Mapping[str, bool],
    crossed: Sequence[str],
    neurons: Iterable[tuple[str, Any]],
    cfg: Mapping[str, Any],
) -> Graph:
    """Where an edge is marked, the components between marked edges; else those whose node is marked."""
    named = _components(name for name, is_in in marked.items() if is_in)
    components = _connected({_ends(edge) for edge in crossed}) if crossed else named
    if not components:
        raise UserError(
            "no head and no MLP is marked as in the graph; where a file holds scores alone, choose a circuit first "
            "(in EAP-IG: graph.apply_topn or graph.apply_threshold) and save it again"
        )
    for component in sorted(components - named, key=str) if named else ():
        raise UserError(
            f"{component} is not marked as in the graph, but edges into it and out of it are: mark all of them or none"
        )
    shape = {key: cfg[key] for key in ("n_layers", "n_heads", "d_model") if key in cfg}
    for key, value in shape.items():
        if type(value) is not int:
            raise UserError(f"cfg: {key} is {value!r:.60}, allowed: a whole number")
    names = set(map(str, components))
    for name, value in neurons:
        if name in names:
            _check_whole(name, value, shape.get("d_model"))
    return Graph(components, shape)


def _connected(edges: set[tuple[str, str]]) -> frozenset[Component]:
    """The components with an edge into them and one out of them, once all others and their edges are gone.

    EAP-IG prunes a graph so before it runs it, whatever the marks of its nodes. Raises UserError where none is left.
    """
    _components(end for edge in edges for end in edge)
    before: set[tuple[str, str]] = set()
    while edges != before:
        before = edges
        fed, read = {child for _, child in edges} | {_ENDS[0]}, {parent for parent, _ in edges} | {_ENDS[1]}
        edges = {(parent, child) for parent, child in edges if parent in fed and child in read}
    found = _components(end for edge in edges for end in edge)
    if not found:
        raise UserError("the edges that are marked lead through no head and no MLP from input to logits")
    return found


def _components(names: Iterable[str]) -> frozenset[Component]:
    return frozenset(_component(name) for name in names if name not in _ENDS)


def _component(name: str) -> Component:
    match = _COMPONENT.fullmatch(name)
    if not match:
        raise UserError(
            f"unknown component {name!r:.60}; a head is a0.h1, an MLP m0, and the ends are input and logits: graphs of "
            "single neurons or features cannot be read"
        )
    layer, head, mlp = match.groups()
    return Component(int(mlp), None) if mlp is not None else Component(int(layer), int(head))


def _ends(edge: str) -> tuple[str, str]:
    """The components of an edge; into a head it names which of its inputs."""
    parent, arrow, child = edge.partition("->")
    if not arrow:
        raise UserError(f"unknown edge {edge!r:.60}; allowed: a0.h1->m2, m0->a1.h3<q> and the like")
    into_head = _INPUT_OF_HEAD.fullmatch(child)
    return parent, into_head[1] if into_head else child


def _check_whole(name: str, neurons: Any, width: int | None) -> None:
    """A component is in with each of the `width` channels of its output, where that is known, or it cannot be read."""
    if neurons is None:
        return
    if not isinstance(neurons, list) or not all(isinstance(is_in, bool) for is_in in neurons):
        raise UserError(f"{name}: its neurons are {neurons!r:.60}, allowed: a list of true and false, one a channel")
    if not all(neurons) or len(neurons) != (width or len(neurons)):
        raise UserError(
            f"{name} is in the graph with {sum(neurons)} of {width or len(neurons)} channels of its output; only "
            "graphs of whole heads and MLPs can be read"
        )


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
