"""A compact step of several members at once."""

from __future__ import annotations

from typing import Any

import keeps
from progress import Progress
from steps import compact_step, prompts
from tables import cell, paragraph, table
from timing import alternate, ratio, spread

from faithcheck import load_model

NAME = "members"
TITLE = "Members of one batch"
ESTIMATE = 20
NODES = (50, 200)
MEMBERS = (1, 2, 4, 8, 16)


def run(quick: bool) -> dict[str, Any]:
    """Milliseconds of a step, all numbers of members in turn."""
    model = load_model("stories-sparse")
    batch = prompts(model)
    progress = Progress(NAME, len(NODES))
    rows = []
    for nodes in NODES:
        progress.part(f"{nodes} nodes")
        jobs = {str(m): compact_step(model, keeps.members(model, nodes, m), batch) for m in MEMBERS}
        found = alternate(jobs, 3 if quick else 9, calls=2 if quick else 10)
        rows += [{"nodes": nodes, "members": m, "step": found[str(m)]} for m in MEMBERS]
    return {"rows": rows}


def render(data: dict[str, Any]) -> list[str]:
    head = ["nodes each", "members", "step, ms", "of one member", "of one member, per member"]
    text = """
        The same step on stories-sparse with several members, each with its own nodes, as many as the others'. A ratio
        to one member that is the number of members means that batching saves nothing."""
    return [paragraph(text), *table(head, [_row(row, data["rows"]) for row in data["rows"]])]


def _row(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[object]:
    one = next(r for r in rows if r["members"] == 1 and r["nodes"] == row["nodes"])
    found = ratio(row["step"], one["step"])
    times = [cell(spread(row["step"]), 1000), cell(found), cell(found, 1 / row["members"])]
    return [row["nodes"], row["members"], *times]
