"""Many seeds at d = 1024 on a GPU, where there is one."""

from __future__ import annotations

from typing import Any

import torch
from progress import Progress
from pruning import Pruning
from tables import cell, paragraph
from timing import clock, ratio, spread
from widths import task_model

NAME = "gpu"
TITLE = "On a GPU"
ESTIMATE = 5
NONE = """
    No GPU was available to this run; nothing was measured on one. That a run on another device than the CPU ends as on
    the CPU, and that training waits for that device only to choose which nodes compact steps leave out, is tested on
    one that the tests make (`tests/other_device.py`)."""
SEEDS, STEPS, REFERENCE_STEPS, REPEATS = 64, 1000, 100, 3


def run(quick: bool) -> dict[str, Any]:
    """Seconds per seed and step of all seeds in one call, and of the reference."""
    if not torch.cuda.is_available():
        return {"gpu": None}
    pruning = Pruning(task_model(1024, "cuda"), "pronoun")
    steps, short = (16, 8) if quick else (STEPS, REFERENCE_STEPS)
    pruning.ours_at_once(range(SEEDS), 8)
    pruning.theirs(0, 8)
    progress = Progress(NAME, REPEATS)
    ours, theirs = [], []
    for seed in range(REPEATS):
        progress.part(f"{SEEDS} seeds of {steps} steps")
        seeds = range(seed * SEEDS, (seed + 1) * SEEDS)
        ours.append(clock(lambda seeds=seeds: pruning.ours_at_once(seeds, steps))[0] / SEEDS / steps)
        theirs.append(clock(lambda seed=seed: pruning.theirs(seed, short))[0] / short)
    found = {"ours": ours, "reference": theirs, "steps": steps, "reference_steps": short}
    return {"gpu": torch.cuda.get_device_name(), **found}


def render(data: dict[str, Any]) -> list[str]:
    if data["gpu"] is None:
        return [paragraph(NONE)]
    text = f"""
        {data["gpu"]}, d = 1024 (widened), {SEEDS} seeds of {data["steps"]} steps in one call of `extract_many`:
        {cell(spread(data["ours"]), 1e6)} microseconds per seed and step, training only. The reference, one seed of
        {data["reference_steps"]} steps at a time: {cell(spread(data["reference"]), 1e6)}, that is
        {cell(ratio(data["reference"], data["ours"]))} times as long. Repeats, with new seeds each: {REPEATS}."""
    return [paragraph(text)]
