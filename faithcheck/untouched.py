"""Whether a plugin changed what it was lent: the model, the prompts, the means, circuits, or runs that others share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from faithcheck.bench import Bench
from faithcheck.prompts import PromptSet
from faithcheck.subject import Subject

_FEW = 16
"""Prompts on which the model is asked before and after every check."""


def glimpse(bench: Bench) -> Tensor:
    """The model's logits on a few validation prompts, float[1, prompt, token]; of a changed model others."""
    prompts = bench.prompts("validation")
    few = prompts.select(torch.linspace(0, len(prompts) - 1, min(_FEW, len(prompts))).long())
    with torch.no_grad():
        return bench.model.run(few.tokens, positions=few.positions).logits


def same(now: Tensor, before: Tensor) -> bool:
    """To the bit, NaN and NaN being the same: a model that gives NaN has not been changed by giving it again."""
    return now.shape == before.shape and bool(((now == before) | (now.isnan() & before.isnan())).all())


def contents(prompts: PromptSet, means: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Copies of all tensors of prompts, and of means."""
    plain = {name: value for name, value in vars(prompts).items() if isinstance(value, Tensor)}
    by_name = {"variables": prompts.variables, "roles": prompts.roles, "means": means or {}}
    nested = {f"{what} {name}": value for what, values in by_name.items() for name, value in values.items()}
    return {name: value.clone() for name, value in (plain | nested).items()}


def alike(now: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> bool:
    return now.keys() == before.keys() and all(same(now[name], value) for name, value in before.items())


class Lent:
    """What a check is lent, as it is when this is made."""

    def __init__(self, bench: Bench, subjects: Sequence[Subject]):
        self._prompts = [(prompts, contents(prompts)) for prompts in bench.lent_prompts]
        self._circuits = [(subject.circuit, subject.circuit.identity) for subject in subjects]
        runs = [*bench.kept_runs, *(run for subject in subjects for run in subject.kept_runs)]
        tensors = [tensor for run in runs for tensor in (run.logits, *run.captured.values())]
        self._versions = [(tensor, tensor._version) for tensor in tensors if not tensor.is_inference()]

    def changed(self) -> str | None:
        """What is no longer as it was; None where everything is."""
        if not all(alike(contents(prompts), before) for prompts, before in self._prompts):
            return "the prompts"
        if any(circuit.identity != before for circuit, before in self._circuits):
            return "the circuit"
        if any(tensor._version != before for tensor, before in self._versions):
            return "the logits or activations that other checks share"
        return None
