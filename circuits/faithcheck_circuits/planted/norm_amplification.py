"""Many nodes each write a little; the decoy keeps a few and lives on the last norm."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from faithcheck.planted import Planted
from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.planted.stage import Stage


class NormAmplification:
    """The gender arrives at the last word, where many pairs of neurons each write a small part of the answer.

    The true circuit is the path with all its neurons, as in `Clean`. The decoy keeps so few of the pairs that they give
    a logit difference of about 0.2 to 0.9 nats in the model. The rest of the model, which swells the residual stream,
    is gone from the decoy, so its last norm divides by much less and the small difference becomes a large one.
    """

    name = "norm_amplification"
    exercises: ClassVar = ("layernorm",)
    decoy_method: ClassVar = None
    method_scope = False

    def plant(self, seed: int) -> Planted:
        stage = Stage(self.name, seed, shape=partial(Shape.drawn, swell=(15.0, 40.0)))
        subject, pairs = stage.build.feature(), stage.rng.randint(12, 24)
        difference = stage.rng.uniform(4.5, 8.0)
        most = max(1, int(0.9 / difference * pairs))
        kept = stage.rng.randint(max(1, round(0.2 / difference * pairs)), most)
        path = stage.look((stage.gender, subject, 1.0))
        each = [stage.neurons(subject, 1.0, 1.0 / pairs) for _ in range(pairs)]
        true, decoy = (path.union(*some) for some in (each, each[:kept]))
        return stage.planted(true, decoy, difference, pairs=pairs, kept=kept)
