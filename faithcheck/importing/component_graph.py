"""Circuits of heads and MLPs, from the nodes and edges that a graph of EAP-IG marks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from faithcheck.errors import UserError

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


def graph(
    marked: Mapping[str, bool],
    crossed: Sequence[str],
    neurons: Iterable[tuple[str, Any]],
    cfg: Mapping[str, Any],
) -> Graph:
    """marked: whether a node is in the graph; crossed: the edges that are, `a0.h1->m2` or `m0->a1.h3<q>`; neurons: of
    which channels of its output a node is in with.

    Where an edge is marked, the components between marked edges; else those whose node is marked. Raises UserError
    where nothing is marked, marks contradict each other, or the graph is of single neurons.
    """
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
    _components(end for edge in edges for end in edge)  # refuses unknown names, also of what is pruned
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
