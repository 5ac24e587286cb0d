"""The bundled models: weights, their cards, and the recipes that made them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faithcheck_circuits.transformer.model import SparseTransformer


def load_file(path: str | Path, device: str = "cpu") -> SparseTransformer:
    """A weight-sparse transformer that `faithcheck train` wrote."""
    from faithcheck_circuits.stories.tokenizer import WordTokenizer
    from faithcheck_circuits.transformer.model import SparseTransformer
    from faithcheck_circuits.transformer.storage import load

    found = load(Path(path))
    tensors = {name: tensor.to(device) for name, tensor in found.tensors.items()}
    return SparseTransformer(found.name, found.config, tensors, WordTokenizer(found.vocabulary), found.sample_text)


def stories_sparse(device: str = "cpu") -> SparseTransformer:
    """Two layers, d = 256, one weight in 32, trained on generated children's stories."""
    return load_file(Path(__file__).parent / "stories-sparse.safetensors", device)


def stories_tiny(device: str = "cpu") -> SparseTransformer:
    """Two layers, d = 64, one weight in 8, on the same stories: for tests."""
    return load_file(Path(__file__).parent / "stories-tiny.safetensors", device)
