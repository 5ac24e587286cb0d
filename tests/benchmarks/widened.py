"""A model of the same function with more residual channels, heads and neurons, whose added nodes do other things.

It is made, not trained. The original's channels, heads and neurons come first and keep their weights and gains. The
added ones read and write each other only, by random sparse weights drawn from the original's nonzero weights; the
unembedding reads them weakly. They fire, vary with the token, take part in every norm and disturb the logits a little.
The mean square of the stream stays about what it was, so that the norms divide by about what they divided by.
"""

from __future__ import annotations

import math

import torch
from faithcheck_circuits.transformer.config import Config
from faithcheck_circuits.transformer.model import SparseTransformer
from torch import Tensor

READOUT = 0.1
"""The added channels' unembedding weights are drawn from the original's, times this."""


def widened(
    original: SparseTransformer, factor: int, share: float, seed: int = 0, readout: float = READOUT
) -> SparseTransformer:
    """The original with `factor` times its channels, heads and neurons and about `share` of all weights nonzero."""
    config = original.config.model_copy(
        update={"d_model": factor * original.config.d_model, "d_mlp": factor * original.config.d_mlp}
    )
    name = f"{original.name} widened to d = {config.d_model}"
    tensors = _tensors(original, config, share, readout, torch.Generator().manual_seed(seed))
    return SparseTransformer(name, config, tensors, original.tokenizer, original.sample_text)


def _tensors(
    original: SparseTransformer, config: Config, share: float, readout: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Each of the original's tensors as the first block of a wider one."""
    tensors = {}
    for name, shape in config.shapes().items():
        old = original.network.tensors[name].cpu()
        if name == "embed":
            new = _embedding(old, shape[1], generator)
        elif name == "unembed":
            added = (len(old), shape[1] - old.shape[1])
            new = torch.cat([old, readout * _sparse(old, added, share, generator)], 1)
        elif old.dim() == 2:
            new = _block(old, shape, share, generator)
        else:
            new = torch.cat([old, _drawn(old, shape[0] - len(old), generator)])
        tensors[name] = new.to(original.device)
    return tensors


def _embedding(old: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """Each token's added channels: random, as sparse as the original's, with the same mean square as its own."""
    added = _sparse(old, (len(old), width - old.shape[1]), float((old != 0).float().mean()), generator)
    wanted, found = old.square().mean(1, keepdim=True), added.square().mean(1, keepdim=True)
    return torch.cat([old, added * (wanted / found.clamp(min=1e-12)).sqrt()], 1)


def _block(old: Tensor, shape: tuple[int, ...], share: float, generator: torch.Generator) -> Tensor:
    """The old matrix and, among the added rows and columns, as many weights as make `share` of the whole nonzero.

    Added rows have more weights than old ones; these are made smaller by the root of that, so that rows sum to as much.
    """
    rows, columns = old.shape
    added = (shape[0] - rows, shape[1] - columns)
    before = int(torch.count_nonzero(old))
    weights = share * shape[0] * shape[1] - before
    new = old.new_zeros(shape)
    new[:rows, :columns] = old
    sparse = _sparse(old, added, weights / (added[0] * added[1]), generator)
    new[rows:, columns:] = sparse * math.sqrt((before / rows) / (weights / added[0]))
    return new


def _sparse(old: Tensor, shape: tuple[int, int], share: float, generator: torch.Generator) -> Tensor:
    """Nonzero with probability `share`, each weight drawn from the old nonzero ones."""
    new = old.new_zeros(shape)
    kept = torch.rand(shape, generator=generator) < share
    new[kept] = _drawn(old, int(kept.sum()), generator)
    return new


def _drawn(old: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Values drawn with replacement from the old nonzero ones."""
    values = old[old != 0]
    return values[torch.randint(len(values), (count,), generator=generator)]
