"""The weights a transformer starts training from."""

from __future__ import annotations

import torch
from torch import Tensor

from faithcheck_circuits.transformer.config import Config


def initial_tensors(config: Config, seed: int) -> dict[str, Tensor]:
    """Gains 1, biases and sinks 0, matrices N(0, 1 / columns), embeddings N(0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in config.shapes().items():
        if name.endswith(".gain"):
            tensors[name] = torch.ones(shape)
        elif len(shape) == 1 or name == "bigram":
            tensors[name] = torch.zeros(shape)
        else:
            std = 1.0 if name == "embed" else shape[1] ** -0.5
            tensors[name] = torch.randn(shape, generator=generator) * std
    return tensors
