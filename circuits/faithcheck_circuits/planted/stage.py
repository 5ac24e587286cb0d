"""A builder with what all families have: names with a gender, fillers with a kind, and where paths may run."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, cast

from torch import Tensor

from faithcheck.model import Model
from faithcheck.planted import Planted
from faithcheck_circuits.planted.builder import Builder, circuit
from faithcheck_circuits.planted.scene import Scene
from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.planted.weights import Nodes, used

TARGET = 0.15
LEAK_OF_PAIRS = 0.03
"""The most leak where heads cancel: the pair writes its difference several times as large as what it leaks into."""


class Stage:
    """`name` and `filler` mark the word that is one; `gender` and `kind` are 1 or -1 there, gender with some jitter.

    `attention` and `mlp`: layers that paths run through, the attention layer not after the MLP. `mass`: what a path's
    head gives to the word that it looks at. `bend`: the shape of its neurons (`Builder.pair`). Two paths that are to be
    weighed against each other share all of these, so that a norm that changes its scale changes both alike.

    padding: whether some instances have a pair of heads beside the path that cancel, as in `CancellingPair`, and that
    are kept in the decoy too. They make the decoy's own nodes a small part of what seems to matter in it. Without any
    one of their nodes the answer is swayed by the filler, but for those by which both write: then both are gone.
    """

    def __init__(
        self,
        family: str,
        seed: int,
        *,
        markers: bool = False,
        padding: bool = False,
        shape: Callable[[random.Random], Shape] = Shape.drawn,
    ):
        self.rng = random.Random(f"planted/{family}/{seed}")
        self.scene = Scene.drawn(self.rng, markers)
        self.padded = padding and self.rng.random() < 1 / 3
        self.shape = shape(self.rng)
        if self.padded:
            self.shape = replace(self.shape, leak=min(self.shape.leak, LEAK_OF_PAIRS))
        self.build = Builder(f"planted-{family}-{seed}", self.scene, self.shape, self.rng)
        self.name, self.gender, self.filler, self.kind = (self.build.feature() for _ in range(4))
        self.out = self.build.feature()
        """What the answer is read from."""
        words = self.scene.words
        self.build.embed([*words["female"], *words["male"]], self.name, 1.0)
        self.build.embed([*words["quiet"], *words["loud"]], self.filler, 1.0)
        self.two_sided("female", "male", self.gender)
        self.two_sided("quiet", "loud", self.kind, jitter=0.0)
        if self.padded:
            self.prepare_pair()
        self.attention = self.rng.randrange(self.shape.layers)
        self.mlp = self.rng.randrange(self.attention, self.shape.layers)
        self.mass = self.rng.uniform(0.5, 0.98)
        self.bend = (self.rng.uniform(1.0, 3.0), self.rng.uniform(0.0, 0.5))

    def two_sided(self, plus: str, minus: str, feature: Tensor, jitter: float = 0.15) -> None:
        self.build.embed(self.scene.words[plus], feature, 1.0, jitter)
        self.build.embed(self.scene.words[minus], feature, -1.0, jitter)

    def prepare_pair(self) -> None:
        """Let fillers and their kinds be features twice over, for the two heads of `cancelling`."""
        self.other_filler, self.other_kind = self.build.feature(), self.build.feature()
        self.build.embed([*self.scene.words["quiet"], *self.scene.words["loud"]], self.other_filler, 1.0)
        self.two_sided("quiet", "loud", self.other_kind, jitter=0.0)

    def cancelling(self, size: float) -> list[Nodes]:
        """Two heads that write the filler's kind to the answer, `size` times the answer, with opposite signs."""
        ways = ((self.filler, self.kind, size), (self.other_filler, self.other_kind, -size))
        return [
            self.build.head(self.attention, filler, self.mass, [(kind, self.out, amount)], sink=0.0)
            for filler, kind, amount in ways
        ]

    def pad(self) -> Nodes:
        """The padding; no node where the instance has none."""
        if not self.padded:
            return frozenset()
        return frozenset().union(*self.cancelling(self.rng.uniform(2.0, 8.0)))

    def look(self, *moves: tuple[Tensor, Tensor, float], sink: float | None = None) -> Nodes:
        """A head from the last word to the name."""
        return self.build.head(self.attention, self.name, self.mass, moves, sink)

    def looking(self, key: Tensor) -> Nodes:
        """All query and key nodes of the attention layer, and what only queries and keys read."""
        layer = self.attention
        nodes = used(f"{layer}.attn_in", self.build.asked) | used(f"{layer}.attn_in", key)
        return nodes.union((f"{layer}.{kind}", n) for kind in ("attn_q", "attn_k") for n in range(self.shape.d_model))

    def neurons(self, read: Tensor, level: float, amount: float, pairs: int = 1) -> Nodes:
        """Pairs of neurons that together write `amount` of the answer where `read` is at `level`."""
        each = [self.build.pair(self.mlp, read, level, self.out, amount / pairs, self.bend) for _ in range(pairs)]
        return frozenset().union(*each)

    def planted(
        self, true: Nodes, decoy: Nodes | None, difference: float, said: Tensor | None = None, **drawn: Any
    ) -> Planted:
        """The finished instance; on prompts of the task she minus he is about `difference` nats for female names."""
        model = self.build.answer(self.out, difference, said)
        drawn |= (
            asdict(self.scene) | asdict(self.shape) | {"difference": difference, "mass": self.mass, "bend": self.bend}
        )
        drawn |= {"attention": self.attention, "mlp": self.mlp, "padded": self.padded}
        circuits = (circuit(model, true), None if decoy is None else circuit(model, decoy))
        return Planted(cast(Model, model), self.scene.task, *circuits, TARGET, drawn)
