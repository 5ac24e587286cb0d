"""The activations that ablated nodes take, on one model; all of them come out of `Model.run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.errors import UserError
from faithcheck.model import Model
from faithcheck.prompts import PromptSet

MEAN_TEXTS = 512
"""Mean ablation takes the first so many texts of a model's `sample_text`."""
_TOKENS = 4096
"""About how many tokens are run at once."""


def measured(ablation: Ablation, model: Model, prompts: PromptSet | None) -> Ablation:
    """The ablation with the means of this model, over its own text or over `prompts`, at every position up to the last.

    prompts: the task's, None where there is no task. Raises UserError where the model has no text of its own or a mean
    is no finite number, ValueError where a task mean has no prompts.
    """
    if not ablation.is_of_means:
        return ablation
    if ablation.kind == "mean":
        rows = _texts(model)
    elif prompts is not None:
        rows = _rows(prompts)
    else:
        raise ValueError("task_mean ablation needs a task's prompts")
    means = _means(model, rows)
    bad = next((site for site, mean in means.items() if not mean.isfinite().all()), None)
    if bad is not None:
        raise UserError(f"{ablation.kind} ablation: a mean activation of {model.name} at {bad} is not finite")
    return replace(ablation, means=means)


def baselines_on(ablation: Ablation, model: Model, partners: Tensor | None) -> dict[str, Tensor]:
    """What ablated nodes take on some prompts, as `Model.run` takes it; empty where that is 0.

    partners: the tokens of the prompts' partners, int[prompt, pos] or int[member, prompt, pos]; needed for resample
    ablation. Raises ValueError where the means or the partners are missing.
    """
    if ablation.kind == "zero":
        return {}
    if ablation.kind == "resample":
        if partners is None:
            raise ValueError("resample ablation needs prompts with partners (PromptSet.paired)")
        with torch.no_grad():
            return dict(model.run(partners, capture=tuple(model.sites)).captured)
    if ablation.means is None:
        raise ValueError(
            f"the means of this {ablation.kind} ablation were not measured (faithcheck.baselines.measured)"
        )
    return {site: mean.to(model.device, model.dtype, copy=True) for site, mean in ablation.means.items()}


def _texts(model: Model) -> list[list[int]]:
    rows = [model.tokenizer.encode(text) for text in getattr(model, "sample_text", ())[:MEAN_TEXTS]]
    if not any(rows):
        raise UserError(f"ablation: {model.name} carries no text of its own to take means over; use task_mean")
    return [row for row in rows if row]


def _rows(prompts: PromptSet) -> list[list[int]]:
    pairs = zip(prompts.tokens.tolist(), prompts.positions.tolist(), strict=True)
    return [row[: last + 1] for row, last in pairs]


def _means(model: Model, rows: Sequence[list[int]]) -> dict[str, Tensor]:
    """{site: float[node]} over all tokens of the rows, each counted once a row."""
    sums = {name: torch.zeros(site.size, dtype=torch.float64) for name, site in model.sites.items()}
    for tokens, real in _batches(rows):
        with torch.no_grad():
            captured = model.run(tokens.to(model.device), capture=tuple(model.sites)).captured
        for site, total in sums.items():
            total += captured[site][0].cpu().double()[real].sum(0)
    count = sum(map(len, rows))
    return {site: total / count for site, total in sums.items()}


def _batches(rows: Sequence[list[int]]) -> Iterator[tuple[Tensor, Tensor]]:
    """(int[prompt, pos], right-padded; bool[prompt, pos], where a token is)."""
    at_once = max(1, _TOKENS // max(map(len, rows)))
    for start in range(0, len(rows), at_once):
        part = [torch.tensor(row) for row in rows[start : start + at_once]]
        real = [torch.ones(len(row), dtype=torch.bool) for row in part]
        yield (
            torch.nn.utils.rnn.pad_sequence(part, batch_first=True),
            torch.nn.utils.rnn.pad_sequence(real, batch_first=True),
        )
