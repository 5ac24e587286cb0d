"""A model on a task: the encoded prompts, and what the full model does on them, computed once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.circuit import Norms
from faithcheck.errors import UserError
from faithcheck.kept import Kept
from faithcheck.losses import LossKind, prompt_losses
from faithcheck.model import Model, Run
from faithcheck.prompts import PromptSet, encode
from faithcheck.resampling import Resampling
from faithcheck.run_names import pattern_names
from faithcheck.scales import norm_scales
from faithcheck.shown import shown
from faithcheck.task import Task

TRAIN_CAP = 2048
"""At most this many prompts of the train split are shown to a method."""


@dataclass
class Bench:
    """`loss`, `target_loss`, `ablation` and `norms` are what the suite asks of circuits of this task."""

    model: Model
    task: Task
    loss: LossKind
    target_loss: float
    ablation: Ablation
    norms: Norms
    kept: Kept = field(default_factory=Kept, init=False, compare=False, repr=False)
    _prompts: dict[str, PromptSet] = field(default_factory=dict)
    _scales: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    _runs: dict[str, Run] = field(default_factory=dict)
    _resampling: dict[str, Resampling] = field(default_factory=dict)

    def prompts(self, split: str) -> PromptSet:
        """The prompts of a split or shift: at most TRAIN_CAP of the train split, CAP of the others."""
        if split not in self._prompts:
            cap = {"cap": TRAIN_CAP} if split == "train" else {}
            prompts = encode(self.task, split, self.model.tokenizer, **cap)
            if self.ablation.kind == "resample":
                prompts = self._paired(prompts, split)
            self._prompts[split] = prompts.to(self.model.device)
        return self._prompts[split]

    def _paired(self, prompts: PromptSet, split: str) -> PromptSet:
        try:
            return prompts.paired()
        except UserError as error:
            raise UserError(f"task {self.task.name}, {split}: {error.message}") from None

    def scales(self, split: str) -> dict[str, Tensor]:
        """The model's norm scales, {norm: float[1, prompt, pos]}."""
        if split not in self._scales:
            self._scales[split] = norm_scales(self.model, self.prompts(split))
            self.kept.values(self._scales[split].values())
        return self._scales[split]

    def scales_for(self, norms: Norms, split: str) -> dict[str, Tensor] | None:
        """What `norm_scales` a circuit found with `norms` runs with: the model's, or None for live norms."""
        return self.scales(split) if norms == "frozen" else None

    def model_run(self, split: str) -> Run:
        """The full model on a split: logits at the answer, captured sites and patterns at every position."""
        if split not in self._runs:
            prompts = self.prompts(split)
            capture = [*self.model.sites, *pattern_names(self.model.sites)]
            with torch.no_grad():
                run = self.model.run(prompts.tokens, positions=prompts.positions, capture=capture)
            self._runs[split] = self.kept.run(run)
        return self._runs[split]

    def forget_runs(self) -> None:
        """Where a task is done: the model's captured activations are most of what a suite holds."""
        self.kept = Kept()
        self._runs.clear()
        self._scales.clear()

    @property
    def lent_prompts(self) -> list[PromptSet]:
        """Every set of prompts that was asked for so far."""
        return list(self._prompts.values())

    def resampling(self, split: str) -> Resampling:
        if split not in self._resampling:
            self._resampling[split] = Resampling(self.prompts(split).units.cpu().numpy())
        return self._resampling[split]

    @cached_property
    def shown(self) -> Tensor:
        """int[prompt]: the held-out prompts that evidence shows."""
        return shown(self.prompts("test"))

    @cached_property
    def last_layer(self) -> int:
        return max(site.layer for site in self.model.sites.values())

    def model_loss(self, split: str = "test", kind: LossKind | None = None, model: Model | None = None) -> float:
        """The full model's mean loss on a split, in nats; or that of another model of the same tokens."""
        prompts = self.prompts(split)
        with torch.no_grad():
            logits = (model or self.model).run(prompts.tokens, positions=prompts.positions).logits
        losses = prompt_losses(logits, prompts.targets, prompts.distractors, kind or self.loss)
        return float(losses.mean())
