"""Does the extractor find a circuit in a model whose weights were shuffled?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from faithcheck.check import Control, Measurement
from faithcheck.size_ratio import SizeRatio

if TYPE_CHECKING:
    from faithcheck.bench import Bench
    from faithcheck.model import Model


class RandomWeights(SizeRatio):
    """The method needs far more nodes in shuffled weights than in the model: nodes with shuffled / nodes with its own.

    The weights are permuted within each tensor, by the seed: the same values and the same sparsity, but no model.

    Source: none for this control itself; the question behind it is that of
    Drori 2026, *Weight-Sparse Circuits May Be Interpretable Yet Unfaithful*.
    """

    name = "random_weights"
    question = "does the extractor find a circuit in a model whose weights were shuffled?"
    control = "shuffled"
    extractions = "extractions from shuffled weights"
    where = "in a model with shuffled weights"
    moral = "the mask, not the model, does the work"

    def draw(self, bench: Bench, seeds: Sequence[int]) -> Sequence[Control] | Measurement:
        """The task on one shuffle a seed.

        Raises ValueError where a shuffled model has no finite loss, or passes for the model itself.
        """
        import math

        shuffled = getattr(bench.model, "shuffled", None)
        if shuffled is None:
            return Measurement(not_applicable=f"{bench.model.name} offers no shuffled weights")
        models: dict[int, Model] = {seed: shuffled(seed) for seed in seeds}
        for seed, model in models.items():
            loss = bench.model_loss(kind="full", model=model)
            if not math.isfinite(loss):
                raise ValueError(f"{bench.model.name} with its weights shuffled by seed {seed} has a loss of {loss}")
            if loss <= bench.target_loss:
                return Measurement(
                    not_applicable=f"the model still does the task with its weights shuffled by seed {seed}: "
                    f"its loss is then {loss:.3g} nats, the target is {bench.target_loss:g}"
                )
            if model.fingerprint == bench.model.fingerprint:
                raise ValueError(f"{bench.model.name} with shuffled weights has the fingerprint of the model itself")
        return [Control(seed, model=model) for seed, model in models.items()]
