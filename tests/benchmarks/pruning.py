"""One extraction, by sparse_prune and by the reference, from the same prompts, penalties and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import reference
from faithcheck_circuits.methods.penalties import parts
from faithcheck_circuits.methods.sparse_prune import SparsePrune
from faithcheck_circuits.transformer.model import SparseTransformer

from faithcheck import load_task
from faithcheck.ablation import Ablation
from faithcheck.bench import Bench
from faithcheck.circuit import NodeScores
from faithcheck.cutting import Cutter
from faithcheck.method import Problem
from faithcheck.prompts import PromptSet

TARGET = 0.15
STEPS = SparsePrune.Parameters().steps
"""What sparse_prune does by default."""


@dataclass(frozen=True)
class Pruning:
    """A model on a task. `ours` and `theirs` train; `cutter` is the harness's, for scores of either."""

    model: SparseTransformer
    task: str

    @cached_property
    def bench(self) -> Bench:
        return Bench(self.model, load_task(self.task), "full", TARGET, Ablation(), "live")

    @cached_property
    def cutter(self) -> Cutter:
        return Cutter(self.model, self.bench.prompts("validation"), "full", TARGET, Ablation())

    def problem(self, seed: int) -> Problem:
        prompts = self.bench.prompts("train")
        return Problem(self.model, prompts, "full", TARGET, Ablation(), "live", seed, self.model.device.type)

    def fitted(self, seed: int) -> PromptSet:
        """The four fifths of the train prompts' frames that sparse_prune trains on."""
        return parts(self.problem(seed))[0]

    def ours(self, seed: int, steps: int) -> NodeScores:
        return self.ours_at_once([seed], steps)[0]

    def ours_at_once(self, seeds: Sequence[int], steps: int) -> list[NodeScores]:
        """Several seeds in one call."""
        return SparsePrune(_parameters(steps)).extract_many([self.problem(seed) for seed in seeds])

    def theirs(self, seed: int, steps: int) -> NodeScores:
        """The reference's thresholds."""
        return NodeScores(reference.prune(self.model, self.fitted(seed), seed, settings(steps)))

    def their_size(self, scores: NodeScores) -> int:
        """What the reference's own bisection finds, on the prompts that the harness cuts on."""
        return reference.smallest(self.model, self.cutter.prompts, scores.scores, TARGET)


def settings(steps: int) -> reference.Settings:
    """The reference's settings are sparse_prune's."""
    parameters = _parameters(steps)
    return reference.Settings(**{field.name: getattr(parameters, field.name) for field in fields(reference.Settings)})


def _parameters(steps: int) -> SparsePrune.Parameters:
    """One penalty: the sweep over penalties is not part of the published algorithm's run."""
    return SparsePrune.Parameters(steps=steps, sweep=(1.0,))
