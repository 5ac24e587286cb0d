"""A circuit as viewer.js draws it: columns over its nodes, edges between them, activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faithcheck.report.html.room import Room
from faithcheck.report.html.viewer_activations import packed
from faithcheck.report.html.viewer_roles import MOST_ROLES, node_values, rounded
from faithcheck.report.reading import Evidence, EvidenceLost, LoadedResult
from faithcheck.result_schema import CircuitResult, ShownPrompt, SiteData
from faithcheck.text import counted

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Source:
    """What the circuits of a task share: shown prompts, evidence of node_roles, the room that each has in the page."""

    loaded: LoadedResult
    prompts: Sequence[ShownPrompt]
    roles: Evidence | None
    room: Room


def drawn(source: Source, circuit: CircuitResult) -> dict[str, Any]:
    """`site`, `number`, `head`, `rank` (the nodes, those that matter most first), `order` (in words what comes first
    there), what node_roles says of them, `edge` [from, to, weight] with the heaviest first, `activation`; and `notes`,
    what is missing and why.

    Raises EvidenceLost where there is no evidence, ValueError where its parts do not fit together.
    """
    import numpy as np

    if circuit.evidence is None:
        raise EvidenceLost(circuit.undrawn or "the result keeps nothing to draw it from")
    evidence = source.loaded.evidence(circuit.evidence)
    node = _nodes(evidence, circuit, source.loaded.data.model.sites)
    notes: list[str] = []
    values, importance = _values(source, circuit, node, notes)
    edge, weight = _edges(evidence, len(node), notes)
    mass, order = (importance, "that matter most") if importance is not None else _mass(edge, weight, len(node))
    rank = np.argsort(-mass, kind="stable")[: source.room.nodes]
    kept = np.sort(rank)
    if len(kept) < len(node):
        notes.append(f"this page has {len(kept):,} of its {len(node):,} nodes, those {order}")
    place = np.full(len(node), -1)
    place[kept] = np.arange(len(kept))
    inside = np.flatnonzero((place[edge] >= 0).all(1))[: source.room.edges]
    if "edge" in evidence.tensors and len(inside) < (edges := circuit.edges or len(edge)):
        notes.append(f"this page has {len(inside):,} of its {edges:,} edges, the heaviest between these nodes")
    return {name: [column[row] for row in kept] for name, column in values.items()} | {
        "site": node[kept, 0].tolist(),
        "number": node[kept, 1].tolist(),
        "head": _heads(evidence, len(node))[kept].tolist(),
        "rank": place[rank].tolist(),
        "order": order,
        "edge": [
            [*ends, value] for ends, value in zip(place[edge[inside]].tolist(), rounded(weight[inside]), strict=True)
        ],
        "activation": _activations(source, evidence, rank, order, notes),
        "notes": notes,
    }


def _nodes(evidence: Evidence, circuit: CircuitResult, sites: Sequence[SiteData]) -> Array:
    """int[node, 2]: place of the site, number in it."""
    import numpy as np

    node: Array = evidence.tensors["node"]
    if node.dtype.kind not in "iu" or node.shape != (circuit.size, 2):
        raise ValueError(f"it does not name the circuit's {counted(circuit.size, 'node')}")
    sizes = np.array([site.size for site in sites], np.int64)
    if (node < 0).any() or (node[:, 0] >= len(sizes)).any() or (node[:, 1] >= sizes[node[:, 0]]).any():
        raise ValueError("it names nodes that the model does not have")
    return node


def _heads(evidence: Evidence, nodes: int) -> Array:
    """int[node], -1: of no head."""
    import numpy as np

    head = evidence.tensors.get("head", np.full(nodes, -1))
    if head.shape != (nodes,) or head.dtype.kind not in "iu":
        raise ValueError("it does not name one head per node")
    return head


def _values(
    source: Source, circuit: CircuitResult, node: Array, notes: list[str]
) -> tuple[dict[str, Any], Array | None]:
    """What node_roles says of the nodes, and their importance; nothing where it says none."""
    if source.roles is None:
        return {}, None
    if len(named := source.roles.labels.get("role", [])) > MOST_ROLES:
        notes.append(f"of {len(named)} roles a card names {MOST_ROLES}: those that changed, then the strongest")
    try:
        return node_values(source.roles, circuit.seed, node)
    except KeyError:
        notes.append("node_roles says nothing about this circuit, so importance, correlation and role are not shown")
    except (ValueError, IndexError, TypeError) as error:
        notes.append(f"importance, correlation and role are not shown: {error}")
    return {}, None


def _edges(evidence: Evidence, nodes: int, notes: list[str]) -> tuple[Array, Array]:
    """int[edge, 2] and float[edge], the heaviest first."""
    import numpy as np

    if "edge" not in evidence.tensors:
        notes.append("the result keeps no weights between its nodes, so no edges are drawn")
        return np.empty((0, 2), np.int64), np.empty(0)
    edge, weight = evidence.tensors["edge"], evidence.tensors["weight"]
    if edge.dtype.kind not in "iu" or edge.shape != (len(weight), 2) or weight.ndim != 1:
        raise ValueError("it does not have one weight per edge")
    if edge.size and (edge.min() < 0 or edge.max() >= nodes):
        raise ValueError("it has edges between nodes that are not there")
    heaviest = np.argsort(-np.nan_to_num(np.abs(weight)), kind="stable")
    return edge[heaviest], weight[heaviest]


def _mass(edge: Array, weight: Array, nodes: int) -> tuple[Array, str]:
    """What nodes are ordered by where their importance is not known: the weight of their edges, together. And in words
    which come first then."""
    import numpy as np

    mass, heavy = np.zeros(nodes), np.nan_to_num(np.abs(weight.astype(np.float64)), posinf=0)
    for end in edge.T:
        np.add.at(mass, end, heavy)
    return mass, "with the heaviest edges" if len(edge) else "that come first"


def _activations(
    source: Source, evidence: Evidence, rank: Array, order: str, notes: list[str]
) -> dict[str, Any] | None:
    """Those of the first nodes of `rank`, as many as there is room for; `order` says which these are."""
    nodes = len(evidence.tensors["node"])
    names, lengths = ("activation/circuit", "activation/model"), [len(prompt.tokens) for prompt in source.prompts]
    if not nodes:
        return None
    if not lengths or not set(names) <= evidence.tensors.keys():
        notes.append("the result keeps no activations of this circuit")
        return None
    circuit, model = (evidence.tensors[name] for name in names)
    if not all(_is_of(side, nodes, lengths) for side in (circuit, model)):
        notes.append("its activations are not of the prompts that the result names, so they are not shown")
        return None
    room = source.room.activations // (2 * max(sum(lengths), 1))
    if room < len(rank):
        notes.append(
            f"activations of the {counted(room, 'node')} {order} are in this page, the others' in the evidence"
        )
    return packed(circuit[rank[:room]], model[rank[:room]], lengths)


def _is_of(activations: Array, nodes: int, lengths: Sequence[int]) -> bool:
    """Whether these are float[node, prompt, pos] of so many nodes, on prompts of these lengths."""
    of_these = activations.ndim == 3 and activations.shape[:2] == (nodes, len(lengths))
    return of_these and activations.dtype.kind == "f" and activations.shape[2] >= max(lengths)
