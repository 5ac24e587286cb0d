"""The model's own norm scales, for running circuits with frozen norms."""

from __future__ import annotations

import torch
from torch import Tensor

from faithcheck.model import Model
from faithcheck.prompts import PromptSet


def norm_scales(model: Model, prompts: PromptSet) -> dict[str, Tensor]:
    """{norm: float[1, prompt, pos]}, the scales the full model divides by on these prompts."""
    with torch.no_grad():
        captured = model.run(prompts.tokens, positions=prompts.positions, capture=tuple(model.norms)).captured
    return {norm: captured[norm] for norm in model.norms}
