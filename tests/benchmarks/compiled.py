"""A circuit of 50 nodes, compiled, against the whole model under masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import reference
import torch
import torch.nn.functional as F
from faithcheck_circuits.transformer.model import SparseTransformer
from progress import Progress
from pruning import STEPS, Pruning
from steps import prompts
from tables import cell, paragraph, table
from timing import alternate, ratio, spread
from torch import Tensor
from widths import task_model

from faithcheck.circuit import Circuit
from faithcheck.compiled import CompiledCircuit
from faithcheck.cutting import circuit_of, ranked
from faithcheck.prompts import PromptSet

NAME = "compiled"
TITLE = "A compiled circuit"
ESTIMATE = 40
NODES, PROMPTS = 50, 512
WAYS = {
    "compiled": "compiled",
    "masked": "whole model, masks, last layer at the answer only",
    "reference": "reference, masks, every position",
}


def run(quick: bool) -> dict[str, Any]:
    """Seconds of the three ways in turn, and how far their logits are apart."""
    widths = (256,) if quick else (256, 1024)
    keep = _found(40 if quick else STEPS)
    progress = Progress(NAME, len(widths))
    rows = []
    for width in widths:
        progress.part(f"d = {width}")
        rows.append({"width": width, **_compared(task_model(width), keep, 3 if quick else 9)})
    return {"rows": rows}


def _found(steps: int) -> Mapping[str, Tensor]:
    """The nodes of highest score of an extraction from the bundled model, {site: bool[node]}."""
    pruning = Pruning(task_model(256), "pronoun")
    return circuit_of(pruning.model, ranked(pruning.ours(0, steps).flat(pruning.model)), NODES).keep


@torch.no_grad()
def _compared(model: SparseTransformer, found: Mapping[str, Tensor], repeats: int) -> dict[str, Any]:
    batch = prompts(model, PROMPTS)
    keep = {site: F.pad(kept, (0, model.sites[site].size - len(kept))) for site, kept in found.items()}
    masks = {site: kept.float() for site, kept in keep.items()}
    members = {site: mask[None] for site, mask in masks.items()}
    compiled = CompiledCircuit(model, Circuit(keep))
    ways = {
        "compiled": lambda: compiled.run(batch).logits[0],
        "masked": lambda: model.run(batch.tokens, positions=batch.positions, masks=members).logits[0],
        "reference": lambda: _at_answer(reference.masked_logits(model, batch.tokens, masks), batch),
    }
    logits = {name: way() for name, way in ways.items()}
    errors = {name: _error(logits["compiled"], other) for name, other in logits.items() if name != "compiled"}
    return {"seconds": alternate(ways, repeats), "errors": errors}


def _at_answer(logits: Tensor, batch: PromptSet) -> Tensor:
    return logits[torch.arange(len(batch)), batch.positions]


def _error(one: Tensor, other: Tensor) -> float:
    """The largest difference of two logits by the largest logit."""
    return float((one - other).abs().max() / other.abs().max())


def render(data: dict[str, Any]) -> list[str]:
    head = ["d", "way", "ms", "of compiled", "largest relative error of the logits"]
    text = f"""
        Logits at the answer of {PROMPTS} prompts for the same {NODES} nodes, those of highest score of an extraction
        from stories-sparse (they are the first nodes of the widened model's sites, too), without gradients, the three
        ways in turn. The error is the largest difference of a logit from the compiled circuit's by the largest
        logit."""
    return [paragraph(text), *table(head, [_row(row, way) for row in data["rows"] for way in WAYS])]


def _row(row: dict[str, Any], way: str) -> list[object]:
    seconds = row["seconds"]
    error = f"{row['errors'][way]:.1e}" if way in row["errors"] else ""
    times = [cell(spread(seconds[way]), 1000), cell(ratio(seconds[way], seconds["compiled"]))]
    return [row["width"], WAYS[way], *times, error]
