"""What node_roles found about each node of a circuit: how much it matters, agreement, roles that changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from faithcheck.checks.node_roles import SAME
from faithcheck.report.html.finding import under
from faithcheck.report.reading import Evidence, EvidenceLost, LoadedResult
from faithcheck.text import visible

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

KINDS = ("same meaning", "does the same", "other meaning", "opposite role", "role vanishes")
NUMBERS = ("importance", "r", "sign_agreement", "fvu", "swapped")
KEPT, FLIPS, VANISHES = 0, 1, 2
"""What becomes of a role in the model."""
MOST_ROLES = 8
"""So many roles a card names."""
_MOST = 1e6


def role_evidence(loaded: LoadedResult, task: str) -> tuple[Evidence | None, str]:
    """The evidence of node_roles on a task, and what to tell where there is none."""
    found = [entry for entry in loaded.data.checks_of(task) if entry.check == "node_roles"]
    if not found or found[0].evidence is None:
        return None, "there is no evidence of node_roles, so nodes are shown without importance, correlation and role"
    try:
        return loaded.evidence(found[0].evidence), ""
    except EvidenceLost as lost:
        return None, f"nodes are shown without importance, correlation and role: {visible(str(lost))}"


def node_values(evidence: Evidence, seed: int | None, node: Array) -> tuple[dict[str, Any], Array]:
    """Columns over the rows of `node` int[node, 2], and their importance, 0 where it is not finite.

    The columns: NUMBERS, `share` of the importance, `kind` (place in KINDS), `effect`, those that it bears as [role, in
    the circuit, in the model, what becomes of it].

    Raises ValueError where the evidence is about other nodes, KeyError where a part of it is missing.
    """
    import numpy as np

    tensors: dict[str, Array] = {
        name: evidence.tensors[under(seed, name)] for name in ("node", *NUMBERS, "consistent", "flips", "vanishes")
    }
    if not np.array_equal(tensors.pop("node"), node):
        raise ValueError("node_roles is about other nodes than this circuit's")
    if wrong := [name for name, values in tensors.items() if values.shape != (len(node),)]:
        raise ValueError(f"{wrong[0]} is not one number per node")
    importance = np.nan_to_num(tensors["importance"].astype(np.float64), posinf=0, neginf=0).clip(0)
    columns = {name: rounded(tensors[name]) for name in NUMBERS} | {
        "share": rounded(importance / max(importance.sum(), np.finfo(np.float64).tiny)),
        "kind": kinds(tensors, importance).tolist(),
        "effect": _effects(evidence, seed, len(node)),
    }
    return columns, importance


def kinds(tensors: Mapping[str, Array], importance: Array) -> Array:
    """Of every node its place in KINDS, by the tensors `consistent`, `swapped`, `flips` and `vanishes`."""
    import numpy as np

    same, flips, vanishes = (np.asarray(tensors[name], bool) for name in ("consistent", "flips", "vanishes"))
    return np.select([same, tensors["swapped"] <= SAME * importance, flips, vanishes], [0, 1, 3, 4], 2)


def rounded(values: Array) -> list[float | None]:
    """Three digits that count; None for what is not finite."""
    import math

    return [float(f"{value:.3g}") if math.isfinite(value) else None for value in values.tolist()]


def _effects(evidence: Evidence, seed: int | None, nodes: int) -> list[list[list[float]]]:
    """Of every node, the roles that it bears; of more than MOST_ROLES those that changed, then the strongest."""
    import numpy as np

    from faithcheck.role_changes import role_changes

    sides = [evidence.tensors.get(under(seed, f"effect/{side}")) for side in ("circuit", "model")]
    circuit, model = (np.zeros((nodes, 0)) if side is None else side.astype(np.float64) for side in sides)
    if circuit.shape != model.shape or circuit.shape[:1] != (nodes,) or circuit.ndim != 2:
        raise ValueError("the effects in circuit and in model are not of the same nodes and roles")
    if circuit.shape[1] > len(evidence.labels.get("role", [])):
        raise ValueError("there are effects of roles that have no name")
    flips, vanishes = role_changes(circuit, model)
    became = np.where(flips, FLIPS, np.where(vanishes, VANISHES, KEPT))
    bears = np.isfinite(circuit) & np.isfinite(model)
    strength = np.where(bears, (became != KEPT) * _MOST + np.minimum(np.maximum(abs(circuit), abs(model)), _MOST), -1)
    first = np.sort(np.argsort(-strength, axis=1, kind="stable")[:, :MOST_ROLES], axis=1)
    return [
        [
            [
                int(role),
                round(float(circuit[node, role]), 2),
                round(float(model[node, role]), 2),
                int(became[node, role]),
            ]
            for role in first[node][bears[node, first[node]]]
        ]
        for node in range(nodes)
    ]
