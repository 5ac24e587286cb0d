"""One circuit of the model widened to d = 1024, by sparse_prune and by the reference."""

from __future__ import annotations

from statistics import median
from typing import Any

import widened_facts
from comparison import compare, rate_table, size_table, time_table
from progress import Progress
from pruning import STEPS, Pruning
from tables import cell, number, paragraph
from timing import clock, ratio, spread
from widths import task_model

from faithcheck.cutting import Cut

NAME = "extraction_wide"
TITLE = "Extraction at d = 1024"
ESTIMATE = 1500
MORE_STEPS = 1000


def run(quick: bool, seeds: int | None) -> dict[str, Any]:
    """One row; ours with more steps too, which for the reference is scaled from its time per step."""
    original, wide = task_model(256), task_model(512 if quick else 1024)
    count = seeds or (1 if quick else 8)
    progress = Progress(NAME, 2 * count)
    pruning = Pruning(wide, "pronoun")
    row = compare(pruning, f"widened, d = {wide.config.d_model}", 8 if quick else STEPS, range(count), progress)
    longer = 16 if quick else MORE_STEPS
    more: dict[str, Any] = {"steps": longer, "seconds": [], "nodes": [], "reached": []}
    for seed in range(count):
        progress.part(f"ours, {longer} steps, seed {seed}")
        seconds, cut = clock(lambda seed=seed: _whole(pruning, seed, longer))
        more["seconds"].append(seconds)
        more["nodes"].append(cut.size)
        more["reached"].append(cut.reached)
    return {"facts": widened_facts.facts(original, wide), "rows": [row], "more": more}


def _whole(pruning: Pruning, seed: int, steps: int) -> Cut:
    return pruning.cutter.cut(pruning.ours(seed, steps))


def render(data: dict[str, Any], peak: dict[str, float]) -> list[str]:
    return [
        *widened_facts.render(data["facts"]),
        f"Seeds 0 to {len(data['rows'][0]['seeds']) - 1}; all else as at d = 256:",
        *time_table(data["rows"]),
        paragraph(_longer(data["rows"][0], data["more"])),
        *rate_table(data["rows"], peak),
        *size_table(data["rows"]),
    ]


def _longer(row: dict[str, Any], more: dict[str, Any]) -> str:
    theirs = row["reference"]
    reached = [nodes for nodes, reaches in zip(more["nodes"], more["reached"], strict=True) if reaches]
    scale = more["steps"] / row["steps"]
    scaled = [scale * train + cut for train, cut in zip(theirs["train"], theirs["cut"], strict=True)]
    nodes = number(median(reached)) if reached else "none"
    return f"""
        With {more["steps"]} steps ours takes {cell(spread(more["seconds"]))} s (nodes of the {len(reached)} that reach
        the target, median: {nodes}). The reference was not run that long: all its steps cost the same, and scaled from
        the row above it takes {cell(spread(scaled))} s, {cell(ratio(scaled, more["seconds"]))} times as long."""
