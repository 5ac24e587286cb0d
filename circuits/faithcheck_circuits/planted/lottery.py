"""A wide bank of random features beside the path, in which a mask can find a circuit for anything."""

from __future__ import annotations

import random
from typing import ClassVar

from faithcheck.planted import Planted
from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.planted.stage import Stage


class Lottery:
    """The path of `Clean` in one layer, whose other neurons all read what the path's neurons read.

    They write to the labels' logits with random signs that cancel when all of them write; but some of them, chosen by a
    mask, make one label likely for one gender and another label for the other. That both answers stand above all other
    words is the path's work here: without its nodes nothing is said against a label. The true circuit is the path, as
    in `Clean`: the answers' logits read nothing else.
    """

    name = "lottery"
    exercises: ClassVar = ("nonsense_control",)
    decoy_method: ClassVar = ("sparse_prune", {"steps": 200})
    method_scope = True

    def plant(self, seed: int) -> Planted:
        stage = Stage(self.name, seed, shape=_shape)
        subject, said, pairs = stage.build.feature(), stage.build.feature(), stage.rng.choice((1, 2))
        path = stage.look((stage.gender, subject, 1.0), (stage.name, said, 1.0))
        true = path | stage.neurons(subject, 1.0, 1.0, pairs)
        stage.build.bank(stage.mlp, subject)
        return stage.planted(true, None, stage.rng.uniform(4.5, 8.0), said, pairs=pairs)


def _shape(rng: random.Random) -> Shape:
    return Shape(1, 48, 8, 48 * rng.choice((4, 5)), rng.uniform(4.0, 12.0), rng.choice((0.0, 0.05)))
