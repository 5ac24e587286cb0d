"""The circuit viewer of a task: its circuits as data for viewer.js, and a table that needs no script.

The picture is plain SVG that viewer.js makes: rows of marks and lines between them are all it needs, and a graph
library would bring a layout by force, which hides the order of the sites.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from faithcheck.report.html import words
from faithcheck.report.html.assets import environment
from faithcheck.report.html.room import Room
from faithcheck.report.html.viewer_data import Source, drawn
from faithcheck.report.html.viewer_roles import KINDS, role_evidence
from faithcheck.report.reading import EvidenceLost, LoadedResult
from faithcheck.result_schema import CircuitResult
from faithcheck.text import visible
from faithcheck.thresholds import MATTERS

LISTED = 12
"""So many nodes stand in the table that needs no script."""


def section(loaded: LoadedResult, task: str) -> Markup:
    """The viewer of a task's circuits; empty where it has none."""
    circuits, prompts = loaded.data.circuits_of(task), loaded.data.prompts_of(task)
    if not circuits:
        return Markup("")
    roles, lost = role_evidence(loaded, task)
    source = Source(loaded, prompts, roles, Room.of(loaded.data))
    shown = [_circuit(source, circuit, [lost] if lost else []) for circuit in circuits]
    data = {
        "task": visible(task),
        "sites": [[visible(site.name), visible(site.kind), site.layer] for site in loaded.data.model.sites],
        "prompts": [_prompt(prompt.tokens, prompt.target, prompt.distractor) for prompt in prompts],
        "roles": [visible(label) for label in roles.labels.get("role", [])] if roles else [],
        "kinds": KINDS,
        "matters": MATTERS,
        "circuits": shown,
    }
    first = next((circuit for circuit in shown if "site" in circuit), None)
    rows = _rows(data, first) if first else []
    template = environment().get_template("viewer.html")
    return Markup(template.render(data=data, first=first, rows=rows, missing=[c for c in shown if "site" not in c]))


def _circuit(source: Source, circuit: CircuitResult, notes: list[str]) -> dict[str, Any]:
    """The circuit as the viewer draws it, or, under `notes`, why it cannot be drawn."""
    about = {"name": words.seed_name(circuit.seed), "size": circuit.size, "edges": circuit.edges}
    about |= {"loss": circuit.loss, "reached": circuit.reached}
    try:
        found = drawn(source, circuit)
    except EvidenceLost as lost:
        return about | {"notes": [visible(str(lost))]}
    except (KeyError, IndexError, ValueError, TypeError, OverflowError) as error:
        said = f"its evidence does not fit together: {error}"
        return about | {"notes": [visible(said)]}
    return about | found | {"notes": [*found["notes"], *notes]}


def _prompt(tokens: list[str], target: str, distractor: str) -> dict[str, Any]:
    return {
        "tokens": [words.token(token) for token in tokens],
        "target": words.token(target),
        "distractor": words.token(distractor),
    }


def _rows(data: Mapping[str, Any], circuit: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Name, share of the importance, r, and what it means, of the nodes that matter most."""
    rows = []
    for node in circuit["rank"][:LISTED]:
        name = f"{data['sites'][circuit['site'][node]][0]} {circuit['number'][node]}"
        if "share" not in circuit:
            rows.append((name, "", "", ""))
            continue
        share, r = circuit["share"][node], circuit["r"][node]
        shown = "–" if share is None else words.percent(share), "–" if r is None else words.number(r)
        rows.append((name, *shown, KINDS[circuit["kind"][node]]))
    return rows
