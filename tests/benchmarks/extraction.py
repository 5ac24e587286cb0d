"""One circuit of the bundled model, by sparse_prune and by the reference."""

from __future__ import annotations

from typing import Any

import torch
from comparison import compare, rate_table, size_table, time_table, whole
from progress import Progress
from pruning import STEPS, Pruning
from tables import cell, number, paragraph
from timing import clock, ratio

from faithcheck import load_model

NAME = "extraction"
TITLE = "Extraction at d = 256"
ESTIMATE = 610
LABEL = "stories-sparse"
ONE_THREAD_SEEDS = 3


def run(quick: bool, seeds: int | None) -> dict[str, Any]:
    """Rows of comparisons; the last one with one thread. And all seeds of the first row in one call."""
    model = load_model(LABEL)
    pronoun, questions = Pruning(model, "pronoun"), Pruning(model, "questions")
    count = seeds or (1 if quick else 8)
    plan = [(pronoun, STEPS), (questions, STEPS), (pronoun, 1000)]
    if quick:
        plan = [(pronoun, 40)]
    few = min(count, ONE_THREAD_SEEDS)
    progress = Progress(NAME, len(plan) * count + 1 + few)
    rows = [compare(pruning, LABEL, steps, range(count), progress) for pruning, steps in plan]
    progress.part(f"all {count} seeds in one call")
    seconds, _ = clock(lambda: _at_once(pronoun, plan[0][1], count))
    rows.append(_on_one_thread(pronoun, plan[0][1], few, progress))
    return {"rows": rows, "at_once": seconds / count}


def _at_once(pruning: Pruning, steps: int, count: int) -> None:
    for scores in pruning.ours_at_once(range(count), steps):
        pruning.cutter.cut(scores)


def _on_one_thread(pruning: Pruning, steps: int, count: int, progress: Progress) -> dict[str, Any]:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return compare(pruning, LABEL, steps, range(count), progress)
    finally:
        torch.set_num_threads(usual)


def render(data: dict[str, Any], peak: dict[str, float]) -> list[str]:
    first = data["rows"][0]
    count = len(first["seeds"])
    gain = ratio(whole(first["reference"]), [data["at_once"]] * count)
    both = f"""
        Training on four fifths of the train prompts' frames, the same ones for both, and cutting on the same validation
        prompts. Seeds 0 to {count - 1} (fewer repeats: the first of them), for each ours and then the reference; both
        start from the same noise and draw the same minibatches."""
    at_once = f"""
        All {count} seeds of the first row in one call of `extract_many`, each cut: {number(data["at_once"])} s per
        seed; the reference takes {cell(gain)} times as long."""
    rates = """
        Training alone, by the median. The operations are those of the dense algorithm: forward and backward to the
        activations of 64 prompts at every position. Ours leaves most of them out: its share counts work that was not
        done."""
    sizes = """
        Kept nodes, both cut by the harness's `Cutter` at a loss of 0.15; in brackets where it is not reached. Medians
        are over the pairs of which both reach it."""
    return [
        paragraph(both),
        *time_table(data["rows"]),
        paragraph(at_once),
        "",
        paragraph(rates),
        *rate_table(data["rows"], peak),
        paragraph(sizes),
        *size_table(data["rows"][:-1]),
    ]
