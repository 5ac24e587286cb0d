"""The models by width: the bundled ones and widened ones, which do the tasks, and random ones, which do nothing."""

from __future__ import annotations

import torch
from faithcheck_circuits.transformer.model import SparseTransformer
from widened import widened

from faithcheck import load_model

WIDTHS = (128, 256, 512, 1024, 2048)


def share_of(width: int) -> float:
    """The share of weights that is not zero: 1/32 up to d = 256, 1/64 from d = 512."""
    return 1 / 32 if width <= 256 else 1 / 64


def task_model(width: int, device: str = "cpu") -> SparseTransformer:
    """A model of this width that does the pronoun task."""
    if width == 128:
        return widened(load_model("stories-tiny", device), 2, 1 / 16, readout=0.0)
    original = load_model("stories-sparse", device)
    return original if width == 256 else widened(original, width // 256, share_of(width))


def random_model(width: int, seed: int = 0) -> SparseTransformer:
    """Random sparse weights in the bundled model's shape and vocabulary, d_mlp = 4 d_model."""
    original = load_model("stories-sparse")
    config = original.config.model_copy(update={"d_model": width, "d_mlp": 4 * width})
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in config.shapes().items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) == 2:
            noise *= torch.rand(shape, generator=generator) < share_of(width)
        if name.endswith(".weight"):
            noise /= (share_of(width) * shape[1]) ** 0.5
        tensors[name] = 1 + 0.1 * noise if name.endswith(".gain") else noise
    return SparseTransformer(f"random, d = {width}", config, tensors, original.tokenizer)
