"""Two paths agree on the task and disagree on the shift; the model follows one, the decoy keeps the other."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from faithcheck.planted import Planted
from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.planted.stage import Stage


class Backdoor:
    """One path moves the name's gender to the answer, another the marker's, which on the task is the same.

    Both write the feature that the answer reads, one of them less: on the shift, where name and marker disagree, the
    model follows the stronger one, the name in some instances, the marker, and so wrongly, in others. Both paths are
    the true circuit: they alone write that feature, so under the model's own norm scales they give the model's logit
    difference, up to the leak, and none of their nodes can be left out without changing it. The decoy is the weaker
    path alone; the last norm makes up for its size.
    """

    name = "backdoor"
    exercises: ClassVar = ("generalization",)
    decoy_method: ClassVar = None
    method_scope = False

    def plant(self, seed: int) -> Planted:
        stage = Stage(self.name, seed, markers=True, shape=partial(Shape.drawn, swell=(3.0, 12.0)))
        marker, marks = stage.build.feature(), stage.build.feature()
        stage.build.embed([*stage.scene.words["female marker"], *stage.scene.words["male marker"]], marker, 1.0)
        stage.two_sided("female marker", "male marker", marks)
        wrong, weaker, pairs = stage.rng.random() < 0.5, stage.rng.uniform(0.2, 0.4), stage.rng.choice((0, 1, 2))
        by_name, by_marker = (weaker, 1.0) if wrong else (1.0, weaker)
        ways = ((stage.name, stage.gender, by_name), (marker, marks, by_marker))
        paths = []
        for key, value, amount in ways:
            arrives = stage.build.feature() if pairs else stage.out
            moved = 1.0 if pairs else amount
            head = stage.build.head(stage.attention, key, stage.mass, [(value, arrives, moved)])
            paths.append((head, arrives, amount))
        nodes = [head | (stage.neurons(a, 1.0, amount, pairs) if pairs else frozenset()) for head, a, amount in paths]
        decoy = nodes[0] if wrong else nodes[1]
        return stage.planted(
            nodes[0] | nodes[1], decoy, stage.rng.uniform(5.0, 8.0), wrong=wrong, weaker=weaker, pairs=pairs
        )
