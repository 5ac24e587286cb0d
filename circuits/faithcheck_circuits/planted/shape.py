"""What is drawn about a planted model before anything is written."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes, and what the nodes that no path uses do to the paths.

    swell: from the embedding to the last norm their writes make the residual stream this many times as long. leak: the
    noise that they write into a path's feature, over all sublayers, as a share of the feature's amplitude; what words
    carry of a feature gets it too, in the sublayers before a head reads it.
    """

    layers: int
    d_model: int
    d_head: int
    d_mlp: int
    swell: float
    leak: float

    @classmethod
    def drawn(cls, rng: random.Random, swell: tuple[float, float] = (1.5, 12.0), most_leak: float = 0.18) -> Shape:
        d_model = rng.choice((48, 64, 96))
        low, high = (math.log(s) for s in swell)
        return cls(
            layers=rng.choice((2, 2, 3)),
            d_model=d_model,
            d_head=rng.choice((8, 16)) if d_model == 96 else 8,
            d_mlp=d_model * rng.choice((2, 3, 4)),
            swell=math.exp(rng.uniform(low, high)),
            leak=rng.choice((0.0, rng.uniform(0.0, most_leak))),
        )

    @property
    def growth(self) -> float:
        """What one sublayer writes, in lengths of the stream that it is added to, at right angles."""
        return math.sqrt(self.swell ** (1 / self.layers) - 1)

    @property
    def leak_each(self) -> float:
        """The leak of one sublayer: those of several are independent."""
        return self.leak / math.sqrt(2 * self.layers)
