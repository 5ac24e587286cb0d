"""A node is driven one way by one path and overruled by another; the decoy leaves the other out."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import ClassVar

from faithcheck.planted import Planted
from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.planted.stage import Stage


class RoleFlip:
    """A residual feature `middle` means one thing in the model and another in the decoy.

    Variant "sign": one head writes -gender to it, a second one more of +gender, so that in the model middle = +gender.
    Neurons write +middle to the answer, others less of -middle, which the first overrule. The decoy keeps the first
    head and the second neurons: there middle = -gender, and minus that is the right answer again.

    Variant "meaning": one head writes gender to middle, a second one takes it off again, a third writes the filler's
    kind, so that in the model middle = kind. Neurons write some of middle to the answer, and others, from a feature of
    their own, more of the gender. The decoy keeps the first head and the neurons of middle, where now middle = gender.

    Variant "late": as "meaning", with neurons between. The gender reaches middle from the first head's feature through
    a second feature, a second head's feature takes it off again, and the kind comes from a third's. So most of the
    decoy's nodes mean what they mean in the model and only the last do not.

    All nodes of all these paths are the true circuit: only they write what the answer reads, so under the model's own
    norm scales they give the model's logit difference, up to the leak, and none can be left out without changing it.
    """

    name = "role_flip"
    exercises: ClassVar = ("node_roles",)
    decoy_method: ClassVar = None
    method_scope = False

    def plant(self, seed: int) -> Planted:
        stage = Stage(self.name, seed, shape=_shape)
        early = stage.rng.choice((self._sign, self._meaning))
        late = stage.shape.layers == 3 and stage.rng.random() < 0.5
        return (self._late if late else early)(stage)

    def _sign(self, stage: Stage) -> Planted:
        middle, second = stage.build.feature(), stage.build.feature()
        stage.two_sided("female", "male", second)
        strength, opposed = stage.rng.uniform(1.6, 3.0), stage.rng.uniform(0.3, 0.6)
        first = stage.look((stage.gender, middle, -1.0))
        other = stage.look((second, middle, strength))
        level = strength - 1.0
        follows = stage.neurons(middle, level, 1.0 / (1 - opposed), stage.rng.randint(1, 2))
        opposes = stage.neurons(middle, level, -opposed / (1 - opposed), stage.rng.randint(1, 2))
        true, decoy = first | other | follows | opposes, first | opposes
        difference = stage.rng.uniform(5.0, 8.0)
        return stage.planted(true, decoy, difference, variant="sign", strength=strength, opposed=opposed)

    def _meaning(self, stage: Stage) -> Planted:
        middle, subject = stage.build.feature(), stage.build.feature()
        share = stage.rng.uniform(0.2, 0.45)
        first = stage.look((stage.gender, middle, 1.0))
        other = stage.look((stage.gender, middle, -1.0), (stage.gender, subject, 1.0))
        kind = stage.build.head(stage.attention, stage.filler, stage.mass, [(stage.kind, middle, 1.0)])
        reads = stage.neurons(middle, 1.0, share, stage.rng.randint(1, 2))
        main = stage.neurons(subject, 1.0, 1.0, stage.rng.randint(1, 2))
        true, decoy = first | other | kind | reads | main, first | reads
        return stage.planted(true, decoy, stage.rng.uniform(6.0, 9.0), variant="meaning", share=share)

    def _late(self, stage: Stage) -> Planted:
        stage.attention, stage.mlp, build, bend = 0, 2, stage.build, stage.bend
        subject, second, rival, sort, middle = (build.feature() for _ in range(5))
        share = stage.rng.uniform(0.2, 0.45)
        look, other_look = stage.look((stage.gender, subject, 1.0)), stage.look((stage.gender, rival, 1.0))
        kind = build.head(0, stage.filler, stage.mass, [(stage.kind, sort, 1.0)])
        onward = build.pair(0, subject, 1.0, second, 1.0, bend)
        written = ((second, 1.0), (rival, -1.0), (sort, 1.0))
        first, other, sorts = (build.pair(1, read, 1.0, middle, amount, bend) for read, amount in written)
        reads = build.pair(2, middle, 1.0, stage.out, share, bend)
        main = build.pair(2, second, 1.0, stage.out, 1.0, bend)
        decoy = look | onward | first | reads
        true = decoy | other_look | kind | other | sorts | main
        return stage.planted(true, decoy, stage.rng.uniform(6.0, 9.0), variant="late", share=share)


def _shape(rng: random.Random) -> Shape:
    return replace(Shape.drawn(rng, swell=(3.0, 12.0)), layers=rng.choice((2, 3)))
