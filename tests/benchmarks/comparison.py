"""sparse_prune against the reference: seconds side by side, and circuits cut from both alike."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from flops import per_step
from progress import Progress
from pruning import Pruning, settings
from tables import cell, number, percent, table
from timing import clock, ratio, spread


def compare(pruning: Pruning, label: str, steps: int, seeds: Sequence[int], progress: Progress) -> dict[str, Any]:
    """For every seed ours and then the reference, each trained and cut; the reference's scores are cut by ours too."""
    pruning.ours(0, 8)
    pruning.their_size(pruning.theirs(0, 2))
    ours: dict[str, list[float]] = {"train": [], "cut": [], "nodes": [], "reached": []}
    theirs: dict[str, list[float]] = {"train": [], "cut": [], "own_nodes": [], "nodes": [], "reached": []}
    for seed in seeds:
        progress.part(f"{label}, {pruning.task}, {steps} steps, seed {seed}")
        trained, scores = clock(lambda seed=seed: pruning.ours(seed, steps))
        cutting, cut = clock(lambda scores=scores: pruning.cutter.cut(scores))
        _note(ours, train=trained, cut=cutting, nodes=cut.size, reached=cut.reached)
        trained, scores = clock(lambda seed=seed: pruning.theirs(seed, steps))
        cutting, size = clock(lambda scores=scores: pruning.their_size(scores))
        cut = pruning.cutter.cut(scores)
        _note(theirs, train=trained, cut=cutting, own_nodes=size, nodes=cut.size, reached=cut.reached)
    return {
        "label": label,
        "task": pruning.task,
        "steps": steps,
        "threads": torch.get_num_threads(),
        "seeds": list(seeds),
        "ours": ours,
        "reference": theirs,
        "flops": _flops(pruning),
    }


def _note(lists: dict[str, list[float]], **values: float) -> None:
    for name, value in values.items():
        lists[name].append(value)


def _flops(pruning: Pruning) -> float:
    words = pruning.bench.prompts("train").tokens.shape[1]
    return per_step(pruning.model.config, settings(1).batch, words)


def whole(side: dict[str, list[float]]) -> list[float]:
    """Seconds of training and cutting together."""
    return [train + cut for train, cut in zip(side["train"], side["cut"], strict=True)]


TIME_HEAD = ("model", "task", "steps", "threads", "repeats", "ours, s", "reference, s", "reference / ours")


def time_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Seconds for training and cutting, medians and extremes over the seeds."""
    return table(TIME_HEAD, [_time_row(row) for row in rows])


def _time_row(row: dict[str, Any]) -> list[object]:
    ours, theirs = whole(row["ours"]), whole(row["reference"])
    head = [row["label"], row["task"], row["steps"], row["threads"], len(ours)]
    return [*head, cell(spread(ours)), cell(spread(theirs)), cell(ratio(theirs, ours))]


def rate_table(rows: Sequence[dict[str, Any]], peak: dict[str, float]) -> list[str]:
    """Steps per second of training alone, and what share of the measured peak the dense algorithm's operations are."""
    head = ("model", "task", "steps", "threads", "dense GFLOP / step", "ours, steps/s", "reference, steps/s")
    shares = ("reference, of peak", "ours, dense operations, of peak")
    return table([*head, *shares], [_rate_row(row, peak) for row in rows])


def _rate_row(row: dict[str, Any], peak: dict[str, float]) -> list[object]:
    ours, theirs = (row["steps"] / median(row[side]["train"]) for side in ("ours", "reference"))
    most = peak.get(str(row["threads"]))
    of_peak = [percent(rate * row["flops"] / 1e9 / most) if most else "not measured" for rate in (theirs, ours)]
    head = [row["label"], row["task"], row["steps"], row["threads"], number(row["flops"] / 1e9)]
    return [*head, number(ours), number(theirs), *of_peak]


def size_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Kept nodes at the target loss, pair by pair. A circuit that does not reach the target is in brackets; medians are
    over the pairs of which both do."""
    head = ("model", "task", "steps", "ours, median", "reference, median", "reached", "ours / reference, seed by seed")
    return table(head, [_size_row(row) for row in rows])


def _size_row(row: dict[str, Any]) -> list[object]:
    ours, theirs = row["ours"], row["reference"]
    pairs = [f"{_nodes(ours, i)} / {_nodes(theirs, i)}" for i in range(len(row["seeds"]))]
    reached = f"{sum(ours['reached'])} and {sum(theirs['reached'])} of {len(pairs)}"
    both = [i for i in range(len(pairs)) if ours["reached"][i] and theirs["reached"][i]]
    medians = [number(median([side["nodes"][i] for i in both])) if both else "" for side in (ours, theirs)]
    return [row["label"], row["task"], row["steps"], *medians, reached, ", ".join(pairs)]


def _nodes(side: dict[str, list[float]], i: int) -> str:
    return f"{side['nodes'][i]}" if side["reached"][i] else f"({side['nodes'][i]})"
