"""Models in formats that others publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faithcheck_circuits.plain.model import PlainTransformer
    from faithcheck_circuits.transformer.model import SparseTransformer


def sparse_pretrain(path: str | Path, device: str = "cpu") -> SparseTransformer | PlainTransformer:
    """A checkpoint folder of sparse_pretrain (weight-sparse transformers and dense twins): `sparse_pretrain:DIR`.

    See docs/models-sparse-pretrain.md. Raises UserError naming the file, and the field or tensor, of what cannot be
    read.
    """
    from faithcheck_circuits.published.checkpoint import load

    return load(Path(path).expanduser(), device)
