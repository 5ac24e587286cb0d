"""Whether a check changed what it was lent: the model, the prompts, circuits, or runs that other checks share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from faithcheck.bench import Bench
from faithcheck.subject import Subject
from faithcheck.untouched import changed, of_prompts, of_runs

_FEW = 16
"""Prompts on which the model is asked before and after every check."""


def glimpse(bench: Bench) -> Tensor:
    """What `of_runs` gives on a few validation prompts."""
    prompts = bench.prompts("validation")
    few = prompts.select(torch.linspace(0, len(prompts) - 1, min(_FEW, len(prompts))).long())
    return of_runs(bench.model, few)


class Lent:
    """What a check is lent beside the model, as it is when this is made."""

    def __init__(self, bench: Bench, subjects: Sequence[Subject]):
        self._prompts = [(prompts, of_prompts(prompts)) for prompts in bench.lent_prompts]
        self._circuits = [(subject.circuit, subject.circuit.identity) for subject in subjects]
        self._kept = [bench.kept, *(subject.kept for subject in subjects)]

    def changed(self) -> str | None:
        """What is no longer as it was; None where everything is."""
        if any(changed(before, of_prompts(prompts)) for prompts, before in self._prompts):
            return "the prompts"
        if any(circuit.identity != before for circuit, before in self._circuits):
            return "the circuit"
        if any(kept.is_changed for kept in self._kept):
            return "logits, activations or other numbers that checks share"
        return None
