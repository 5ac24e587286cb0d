"""Trials of a control written down as sizes, without a method that finds them."""

from __future__ import annotations

import torch
from fake_models import IS, WHEN

from faithcheck.check import Control, Trial
from faithcheck.circuit import Circuit
from faithcheck.cutting import Cut


def cut(size, reached=True):
    return Cut(Circuit({"0.mlp_neuron": torch.ones(size, dtype=torch.bool)}), 0.1, reached, ((size, 0.1),))


def nonsense(seed):
    """The task's declared labels."""
    return Control(seed, (WHEN, IS))


def trials(sizes, control=nonsense, task=10, out_of_reach=True):
    """One trial a seed: nodes for its control, nodes for the task. None: not reached."""
    return [
        Trial(
            control(seed),
            cut(task or 40, task is not None),
            cut(90 if size is None else size, size is not None),
            out_of_reach,
        )
        for seed, size in enumerate(sizes)
    ]
