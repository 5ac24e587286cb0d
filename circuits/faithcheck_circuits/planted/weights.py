"""The tensors of a planted model while they are written: residual features, and rank-one writes between sites."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.transformer.config import SOURCE, Config
from faithcheck_circuits.transformer.forward import forward
from faithcheck_circuits.transformer.network import Network

Nodes = frozenset[tuple[str, int]]
"""(site, node) of the nodes that a path uses."""

PATHS = 28
"""Residual channels that are kept for paths and labels; what no path uses lives on the others."""


class Weights:
    """Gains and sinks are random, all else is zero until it is written. `rest`: bool[d_model], channels of no path.

    A *feature* is a unit vector float[d_model] on residual channels of its own.
    """

    def __init__(self, shape: Shape, vocabulary: int, rng: random.Random):
        self.rng, self.generator = rng, torch.Generator().manual_seed(rng.getrandbits(63))
        self.config = Config(
            vocabulary=vocabulary, d_model=shape.d_model, d_head=shape.d_head, d_mlp=shape.d_mlp, layers=shape.layers
        )
        self.tensors = {name: torch.zeros(size) for name, size in self.config.shapes().items()}
        for name, tensor in self.tensors.items():
            if name.endswith(".gain"):
                tensor += 0.5 + torch.rand(shape.d_model, generator=self.generator)
            elif name.endswith(".sink"):
                tensor += self.normal(self.config.heads)
        channels = torch.randperm(shape.d_model, generator=self.generator)
        self._free: list[int] = channels[:PATHS].tolist()
        self.rest = torch.zeros(shape.d_model, dtype=torch.bool)
        self.rest[channels[PATHS:]] = True
        self.features: list[Tensor] = []

    def normal(self, *size: int) -> Tensor:
        return torch.randn(size, generator=self.generator)

    def feature(self, width: int | None = None) -> Tensor:
        """A new feature; its channels are one to three, one where few are left."""
        width = width or (self.rng.choice((1, 1, 2, 3)) if len(self._free) > PATHS // 2 else 1)
        self.features.append(self.unit([self._free.pop() for _ in range(width)], self.config.d_model))
        return self.features[-1]

    def unit(self, places: Sequence[int], size: int) -> Tensor:
        """float[size]: a random unit vector on the places, none of whose parts is small."""
        parts = self.normal(len(places)).sign() * (0.5 + 0.5 * torch.rand(len(places), generator=self.generator))
        return torch.zeros(size).index_copy(0, torch.tensor(places), parts / parts.norm())

    def add(self, site: str, write: Tensor, read: Tensor) -> None:
        """Let a site write `write` (over its nodes) for each unit of `read` in what it reads.

        A site that reads a norm's output reads before the norm's gain, so that only the norm's scale is left to divide.
        """
        self.tensors[f"{site}.weight"] += torch.outer(write, read / self._gain(site))

    def _gain(self, site: str) -> Tensor:
        layer, kind = site.split(".")
        norm = {"attn_in": "ln_1", "mlp_in": "ln_2"}.get(SOURCE[kind])
        return torch.ones(1) if norm is None else self.tensors[f"{layer}.{norm}.gain"]

    def capture(self, tokens: Tensor, name: str) -> Tensor:
        """What a site or norm gives on tokens int[prompt, pos], with the weights as they are now; no member axis."""
        network = Network(self.config, self.tensors)
        return forward(network, tokens, capture=[name]).captured[name][0]


def used(site: str, vector: Tensor) -> Nodes:
    """The nodes of a site on which a vector is not zero."""
    return frozenset((site, node) for node in vector.nonzero().flatten().tolist())
