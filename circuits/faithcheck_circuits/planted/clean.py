"""One path, and nothing else that could do the task."""

from __future__ import annotations

from typing import ClassVar

from faithcheck.planted import Planted
from faithcheck_circuits.planted.stage import Stage


class Clean:
    """A head moves the name's gender to the last word, where it is the answer at once or after some neurons.

    The answer's logit difference reads one feature. Only the path writes it: so under the model's own norm scales the
    path alone gives the model's difference, up to the leak, and without any one of its nodes the difference changes.
    Everything else swells the residual stream. Nothing else reaches the answer, so there is no decoy.
    """

    name = "clean"
    exercises: ClassVar = ()
    decoy_method: ClassVar = None
    method_scope = True

    def plant(self, seed: int) -> Planted:
        stage = Stage(self.name, seed)
        if pairs := stage.rng.choice((0, 1, 2, 4)):
            subject = stage.build.feature()
            true = stage.look((stage.gender, subject, 1.0)) | stage.neurons(subject, 1.0, 1.0, pairs)
        else:
            true = stage.look((stage.gender, stage.out, 1.0))
        return stage.planted(true, None, stage.rng.uniform(4.5, 8.0), pairs=pairs)
