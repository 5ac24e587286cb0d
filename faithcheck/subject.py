"""A circuit under test: the circuit, the bench it is tested on, and what several checks ask of it, computed once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from faithcheck.bench import Bench
from faithcheck.causal import position_weights
from faithcheck.circuit import Circuit, NodeScores
from faithcheck.compiled import CompiledCircuit
from faithcheck.cutting import Cut
from faithcheck.importance import Importance, group_importance
from faithcheck.kept import Kept
from faithcheck.losses import prompt_losses
from faithcheck.model import Run
from faithcheck.run_names import pattern_names


@dataclass
class Subject:
    """`cut` and `scores` are None for a circuit that was not extracted here."""

    bench: Bench
    circuit: Circuit
    seed: int | None = None
    cut: Cut | None = None
    scores: NodeScores | None = None
    kept: Kept = field(default_factory=Kept, init=False, compare=False, repr=False)
    _runs: dict[str, Run] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def reached(self) -> bool:
        """Whether the circuit meets the target loss on the validation prompts."""
        if self.cut is not None:
            return self.cut.reached
        return float(self.losses(self.run("validation"), "validation").mean()) <= self.bench.target_loss

    @cached_property
    def is_needless(self) -> bool:
        """Whether embedding and unembedding alone meet the target loss, so that any circuit would."""
        none = {site: torch.zeros_like(kept) for site, kept in self.circuit.keep.items()}
        return Subject(self.bench, replace(self.circuit, keep=none)).reached

    @cached_property
    def compiled(self) -> CompiledCircuit:
        return CompiledCircuit(self.bench.model, self.circuit)

    @cached_property
    def differentiable(self) -> CompiledCircuit:
        return CompiledCircuit(self.bench.model, self.circuit, trainable=True)

    def own_scales(self, split: str = "test") -> dict[str, Tensor] | None:
        """The norm scales under which the circuit was found: None where live."""
        return self.bench.scales_for(self.circuit.norms, split)

    def run(self, split: str = "test") -> Run:
        """The circuit as it was found, on a split."""
        if split not in self._runs:
            prompts = self.bench.prompts(split)
            self._runs[split] = self.kept.run(self.compiled.run(prompts, norm_scales=self.own_scales(split)))
        return self._runs[split]

    @cached_property
    def frozen_run(self) -> Run:
        """The circuit under the model's own norm scales, on the held-out prompts."""
        return self.kept.run(self.compiled.run(self.bench.prompts("test"), norm_scales=self.bench.scales("test")))

    @cached_property
    def activations(self) -> dict[str, Tensor]:
        """What the sites with a kept node, and the patterns of the used heads, are in the circuit.

        As `Run.captured` has them, on the held-out prompts, under the model's own norm scales.
        """
        sites = {name: site for name, site in self.bench.model.sites.items() if self.compiled.size(name)}
        prompts, scales = self.bench.prompts("test"), self.bench.scales("test")
        run = self.compiled.run(prompts, norm_scales=scales, capture=[*sites, *pattern_names(sites)])
        return dict(self.kept.run(run).captured)

    def losses(self, run: Run, split: str = "test") -> Tensor:
        """float[prompt]: the task's loss of a run with one member."""
        prompts = self.bench.prompts(split)
        return prompt_losses(run.logits, prompts.targets, prompts.distractors, self.bench.loss)[0]

    def importance(self, groups: list[list[tuple[str, int]]]) -> Importance:
        """The importance of groups of kept nodes (site, node) on the held-out prompts."""
        return group_importance(self, groups)

    @cached_property
    def node_importance(self) -> Importance:
        """The importance of every kept node, in the order of `compiled.nodes`."""
        importance = self.importance([[node] for node in self.compiled.nodes])
        self.kept.values([importance.per_prompt])
        return importance

    @cached_property
    def positions(self) -> dict[str, Tensor]:
        """{site: float[prompt, pos, kept node]}: how much each position of a node counts; sums to 1 a prompt."""
        weights = position_weights(self)
        self.kept.values(weights.values())
        return weights
