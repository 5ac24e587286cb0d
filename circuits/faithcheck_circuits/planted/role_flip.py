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

    Variant "late": as "meaning", with neurons between. The first two heads write features of their own, which some
    neurons hand on to others, and others from there to middle; the kind goes to middle through neurons too. So most of
    the decoy's nodes mean what they mean in the model and only the last do not.

    All nodes of all these paths are the true circuit: only they write what the answer reads, so under the model's own
    norm scales they give the model's logit difference, up to the leak, and none can be left out without changing it.
    Heads that oppose each other have the same sink, or whatever changes a norm's scale would sharpen them unequally.
    Some instances are padded, in true circuit and decoy, with the exception that `Stage` has.
    """

    name = "role_flip"
    exercises: ClassVar = ("node_roles",)
    decoy_method: ClassVar = None
    method_scope = False

    def plant(self, seed: int) -> Planted:
        stage = Stage(self.name, seed, padding=True, shape=_shape)
        early = stage.rng.choice((self._sign, self._meaning))
        late = stage.shape.layers == 3 and stage.rng.random() < 0.5
        return (self._late if late else early)(stage)

    def _sign(self, stage: Stage) -> Planted:
        middle, second = stage.build.feature(), stage.build.feature()
        stage.two_sided("female", "male", second)
        strength, opposed = stage.rng.uniform(1.9, 3.0), stage.rng.uniform(0.3, 0.6)
        first = stage.look((stage.gender, middle, -1.0))
        other = stage.look((second, middle, strength))
        level, pad = strength - 1.0, stage.pad()
        follows = stage.neurons(middle, level, 1.0 / (1 - opposed), stage.rng.randint(1, 2))
        opposes = stage.neurons(middle, level, -opposed / (1 - opposed), stage.rng.randint(1, 2))
        true, decoy = first | other | follows | opposes | pad, first | opposes | pad
        difference = stage.rng.uniform(5.0, 8.0)
        return stage.planted(true, decoy, difference, variant="sign", strength=strength, opposed=opposed)

    def _meaning(self, stage: Stage) -> Planted:
        middle, subject = stage.build.feature(), stage.build.feature()
        share = stage.rng.uniform(0.2, 0.45)
        first = stage.look((stage.gender, middle, 1.0), sink=0.0)
        other = stage.look((stage.gender, middle, -1.0), (stage.gender, subject, 1.0), sink=0.0)
        kind = stage.build.head(stage.attention, stage.filler, stage.mass, [(stage.kind, middle, 1.0)])
        pad = stage.pad()
        reads = stage.neurons(middle, 1.0, share, stage.rng.randint(1, 2))
        main = stage.neurons(subject, 1.0, 1.0, stage.rng.randint(1, 2))
        true, decoy = first | other | kind | reads | main | pad, first | reads | pad
        return stage.planted(true, decoy, stage.rng.uniform(6.0, 9.0), variant="meaning", share=share)

    def _late(self, stage: Stage) -> Planted:
        stage.attention, stage.mlp, build, bend = 0, 2, stage.build, stage.bend
        middle, sort, share = build.feature(), build.feature(), stage.rng.uniform(0.15, 0.3)
        kind = build.head(0, stage.filler, stage.mass, [(stage.kind, sort, 1.0)])
        arrive, second = [build.feature() for _ in range(2)], [build.feature() for _ in range(2)]
        first, other = (stage.look((stage.gender, write, 1.0), sink=0.0) for write in arrive)
        pad = stage.pad()
        first |= build.pair(0, arrive[0], 1.0, second[0], 1.0, bend)
        other |= build.pair(0, arrive[1], 1.0, second[1], 1.0, bend)
        first |= build.pair(1, second[0], 1.0, middle, 1.0, bend)
        other |= build.pair(1, second[1], 1.0, middle, -1.0, bend)
        kind |= build.pair(1, sort, 1.0, middle, 1.0, bend)
        reads = build.pair(2, middle, 1.0, stage.out, share, bend)
        main = build.pair(2, second[0], 1.0, stage.out, 1.0, bend)
        true, decoy = first | other | kind | reads | main | pad, first | reads | pad
        return stage.planted(true, decoy, stage.rng.uniform(6.0, 9.0), variant="late", share=share)


def _shape(rng: random.Random) -> Shape:
    return replace(Shape.drawn(rng, swell=(3.0, 12.0), most_leak=0.12), layers=rng.choice((2, 3)))
