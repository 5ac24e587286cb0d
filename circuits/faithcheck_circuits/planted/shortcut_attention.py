"""The model looks at the cue; the decoy reads it from wherever it is."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from faithcheck.planted import Planted
from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.planted.stage import Stage
from faithcheck_circuits.planted.weights import Nodes


class ShortcutAttention:
    """Heads look at the name, sharply or with 0.5 to 0.8 of their attention, and move its gender to the last word.

    The true circuit is the path, as in `Clean`. The decoy keeps no query and no key node, so that its heads attend
    alike everywhere. It still works: value nodes fire on names only, so the mean over all words has the answer's sign,
    and the last norm makes up for the size. Some instances are padded (`Stage`), in true circuit and decoy.
    """

    name = "shortcut_attention"
    exercises: ClassVar = ("attention_agreement",)
    decoy_method: ClassVar = None
    method_scope = False

    def plant(self, seed: int) -> Planted:
        stage = Stage(self.name, seed, padding=True, shape=partial(Shape.drawn, swell=(3.0, 12.0)))
        variant = stage.rng.choice(("sharp", "moderate"))
        stage.mass = stage.rng.uniform(*{"sharp": (0.9, 0.99), "moderate": (0.5, 0.8)}[variant])
        heads, pairs = stage.rng.randint(1, 3), stage.rng.choice((0, 1, 2))
        subject = stage.build.feature() if pairs else stage.out
        true: Nodes = frozenset().union(*(stage.look((stage.gender, subject, 1 / heads)) for _ in range(heads)))
        pad = stage.pad()
        if pairs:
            true |= stage.neurons(subject, 1.0, 1.0, pairs)
        decoy = (true - stage.looking(stage.name)) | pad
        return stage.planted(true | pad, decoy, stage.rng.uniform(5.0, 8.0), variant=variant, heads=heads, pairs=pairs)
