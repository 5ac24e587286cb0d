"""What a whole extraction costs by the model's width, in time and in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import reference
from progress import Progress
from pruning import STEPS, Pruning, settings
from tables import cell, number, paragraph, table
from timing import clock, ratio, spread
from widths import WIDTHS, task_model

NAME = "width"
TITLE = "Extraction against the model's width"
ESTIMATE = 220
REFERENCE_STEPS = {128: 40, 256: 40, 512: 20, 1024: 10, 2048: 5}
REPEATS = {128: 3, 256: 3, 512: 3, 1024: 3, 2048: 1}
MEMORY_STEPS = 40
CHILD = Path(__file__).with_name("width_child.py")


def run(quick: bool) -> dict[str, Any]:
    """Seconds per step of both, width by width, ours and the reference in turn; and memory, in a child process."""
    widths = WIDTHS[:2] if quick else WIDTHS
    progress = Progress(NAME, 2 * len(widths))
    rows = []
    for width in widths:
        progress.part(f"d = {width}")
        row = _timed(width, 24 if quick else STEPS, 1 if quick else REPEATS[width], REFERENCE_STEPS[width])
        progress.part(f"d = {width}, memory")
        rows.append(row | {"memory": _memory(width, 16 if quick else MEMORY_STEPS)})
    return {"rows": rows}


def _timed(width: int, steps: int, repeats: int, reference_steps: int) -> dict[str, Any]:
    pruning = Pruning(task_model(width), "pronoun")
    pruning.ours(0, 8)
    pruning.theirs(0, 1)
    ours, theirs, nodes = [], [], []
    for seed in range(repeats):
        seconds, size = clock(lambda seed=seed: pruning.cutter.cut(pruning.ours(seed, steps)).size)
        ours.append(seconds / steps)
        nodes.append(size)
        prompts = pruning.fitted(seed)
        short = settings(reference_steps)
        seconds, _ = clock(lambda p=prompts, s=seed, short=short: reference.prune(pruning.model, p, s, short))
        theirs.append(seconds / reference_steps)
    found = {"ours": ours, "reference": theirs, "nodes": nodes}
    return {"width": width, "steps": steps, "reference_steps": reference_steps, **found}


def _memory(width: int, steps: int) -> dict[str, float]:
    """MiB resident in a process of its own, before the extraction and at most during it."""
    child = subprocess.run([sys.executable, CHILD, str(width), str(steps)], capture_output=True, text=True, check=True)
    return json.loads(child.stdout)


def render(data: dict[str, Any]) -> list[str]:
    head = ["d", "steps", "ours, ms/step", "reference, ms/step", "reference / ours", "nodes"]
    memory = ["model loaded, MiB", "peak, MiB"]
    shortened = ", ".join(f"{row['reference_steps']} steps at d = {row['width']}" for row in data["rows"])
    text = f"""
        sparse_prune trained and cut, its seconds divided by its steps; the reference trained only, for {shortened}, for
        all its steps cost the same. Task pronoun, seeds from 0. d = 256 is stories-sparse, the wider models are it
        widened (see above), d = 128 is stories-tiny widened. Memory: resident set of a process that does nothing
        else."""
    return [paragraph(text), *table([*head, *memory], [_row(row) for row in data["rows"]])]


def _row(row: dict[str, Any]) -> list[object]:
    seconds = [cell(spread(row[side]), 1000) for side in ("ours", "reference")]
    found = [cell(ratio(row["reference"], row["ours"])), cell(spread(row["nodes"]))]
    memory = [number(row["memory"][key]) for key in ("before", "peak")]
    return [row["width"], row["steps"], *seconds, *found, *memory]
