"""How much of the page each circuit may take, so that a page of many or large ones stays near 5 MB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faithcheck.result_schema import ResultData

NODES = 9_000
"""Nodes that all circuits together have in the page, at about 200 bytes each."""
EDGES = 36_000
"""Edges, at about 17 bytes each."""
ACTIVATIONS = 1_200_000
"""Bytes of activations, before base64 adds a third; so of patterns."""
PATTERNS = 750_000
MARKS = 6_000
"""Marks in the pictures of node_roles, at about 75 bytes each."""


@dataclass(frozen=True)
class Room:
    """What one circuit has at most: nodes, edges and bytes of activations in the viewer, marks in node_roles. And the
    bytes of patterns that the circuits of a task have together."""

    nodes: int
    edges: int
    activations: int
    marks: int
    patterns: int

    @classmethod
    def of(cls, data: ResultData) -> Room:
        sizes, tasks = [circuit.size for circuit in data.circuits], {circuit.task for circuit in data.circuits}
        nodes = share(sizes, NODES)
        shown = {task.name: sum(len(prompt.tokens) for prompt in task.prompts) for task in data.tasks}
        activations = [2 * min(c.size, nodes) * shown.get(c.task, 0) for c in data.circuits]
        edges = [circuit.edges or 0 for circuit in data.circuits]
        return cls(
            nodes,
            share(edges, EDGES),
            share(activations, ACTIVATIONS),
            share(sizes, MARKS),
            PATTERNS // max(len(tasks), 1),
        )


def share(needs: Sequence[int], room: int) -> int:
    """What each may have at most, so that all fit in `room`: those that need little leave the rest to the others."""
    for place, need in enumerate(ordered := sorted(needs)):
        fair = room // (len(ordered) - place)
        if need > fair:
            return fair
        room -= need
    return max(needs, default=0) + room
