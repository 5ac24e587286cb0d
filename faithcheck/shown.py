"""The held-out prompts that evidence shows, so that a person can look: a few of each answer, evenly spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from faithcheck.prompts import PromptSet

if TYPE_CHECKING:
    from faithcheck.bench import Bench
    from faithcheck.model import Tokenizer

OF_EACH_ANSWER = 4


def shown(prompts: PromptSet) -> Tensor:
    """int[prompt]: the places of at most OF_EACH_ANSWER prompts of each answer class, in ascending order."""
    places = []
    for answer in prompts.classes.unique().tolist():
        own = (prompts.classes == answer).nonzero().flatten()
        spread = torch.linspace(0, len(own) - 1, min(OF_EACH_ANSWER, len(own)), dtype=torch.float64)
        places.append(own[spread.round().long().to(own.device)])
    return torch.cat(places).sort().values


def task_data(bench: Bench) -> dict[str, Any]:
    """A task's entry in result.json: the tokens and answers of the shown prompts, as text."""
    prompts, tokenizer = bench.prompts("test").select(bench.shown), bench.model.tokenizer
    return {
        "name": bench.task.name,
        "prompts": [
            {
                "tokens": [token_text(tokenizer, token) for token in row[: last + 1]],
                "target": token_text(tokenizer, target),
                "distractor": token_text(tokenizer, distractor),
            }
            for row, last, target, distractor in zip(
                prompts.tokens.tolist(),
                prompts.positions.tolist(),
                prompts.targets.tolist(),
                prompts.distractors.tolist(),
                strict=True,
            )
        ],
    }


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """A token as text, or its number where the tokenizer has none for it: that is no reason not to run."""
    try:
        text: object = tokenizer.decode([token])
    except Exception:
        text = None
    return text if isinstance(text, str) else f"#{token}"
