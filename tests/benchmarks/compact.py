"""A compact step at equal numbers of kept nodes in models of any width."""

from __future__ import annotations

from typing import Any

from keeps import spread as nodes_spread
from progress import Progress
from steps import compact_step, first_step, prompts
from tables import cell, paragraph, table
from timing import alternate, ratio, spread
from widths import WIDTHS, random_model, task_model

NAME = "compact"
TITLE = "A compact step against the model's width"
ESTIMATE = 40
NODES = (50, 200)


def run(quick: bool) -> dict[str, Any]:
    """Milliseconds of a step and of a restriction, all widths in turn."""
    widths = WIDTHS[:3] if quick else WIDTHS
    models = {f"random {width}": random_model(width) for width in widths}
    models |= {"bundled 256": task_model(256), "widened 1024": task_model(1024)}
    batch = prompts(models["bundled 256"])
    progress = Progress(NAME, len(NODES))
    rows = []
    for nodes in NODES:
        progress.part(f"{nodes} nodes")
        keeps = {name: nodes_spread(model, nodes) for name, model in models.items()}
        jobs = {name: compact_step(model, keeps[name], batch) for name, model in models.items()}
        step = alternate(jobs, 3 if quick else 9, calls=5 if quick else 20)
        jobs = {name: first_step(model, keeps[name], batch) for name, model in models.items()}
        first = alternate(jobs, 3 if quick else 5, calls=5)
        rows += [{"nodes": nodes, "model": m, "step": step[m], "first": first[m]} for m in models]
    return {"rows": rows}


def render(data: dict[str, Any]) -> list[str]:
    head = ["nodes", "model", "step, ms", "of d = 256", "restriction and first step, ms"]
    text = """
        Forward and backward of one minibatch (64 prompts of the pronoun task) through `restrict(..., trainable=True)`,
        with masks that need gradients; the optimiser is left out. Kept nodes are spread evenly over the sites, their
        heads are as many at every width. The random models do no task, the widened one is described above. All models
        in turn, some steps each. A restriction comes once for several compact steps; with the first of them it is made
        ready for the others."""
    return [paragraph(text), *table(head, [_row(row, data["rows"]) for row in data["rows"]])]


def _row(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[object]:
    base = "random 256" if row["model"].startswith("random") else "bundled 256"
    other = next(r for r in rows if r["model"] == base and r["nodes"] == row["nodes"])
    kind, width = row["model"].split()
    times = [cell(spread(row["step"]), 1000), cell(ratio(row["step"], other["step"]))]
    return [row["nodes"], f"{kind}, d = {width}", *times, cell(spread(row["first"]), 1000)]
