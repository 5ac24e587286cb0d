"""Two large opposite contributions outside a circuit, which its full ablation hides."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from faithcheck.planted import Planted
from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.planted.stage import LEAK_OF_PAIRS, Stage


class CancellingPair:
    """Beside the path of `Clean`, two heads write the filler's kind to the answer, several times its size, with
    opposite signs.

    The true circuit is the path and the pair: only they write what the answer reads, and without either of the two
    heads the answer is the filler's. The decoy is the path alone. Where both heads are ablated in full, nothing is
    missed, which is why no check that ablates the rest in full can tell it from the true one; one that ablates the rest
    in part can. The two heads read features of their own, for a node that both used would cancel out too; and they
    have the same sink, or whatever changes a norm's scale would sharpen them unequally. The leak is small, for the pair
    writes its difference several times as large as what it leaks into.
    """

    name = "cancelling_pair"
    exercises: ClassVar = ()
    decoy_method: ClassVar = None
    method_scope = False

    def plant(self, seed: int) -> Planted:
        stage = Stage(self.name, seed, shape=partial(Shape.drawn, most_leak=LEAK_OF_PAIRS))
        size = stage.rng.uniform(2.0, 4.0)
        stage.prepare_pair()
        path = stage.look((stage.gender, stage.out, 1.0))
        pair = stage.cancelling(size)
        return stage.planted(path.union(*pair), path, stage.rng.uniform(4.5, 8.0), size=size)
