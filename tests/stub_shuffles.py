"""Models whose shuffled weights are scripted, and methods to try on them.

A suite names them as `path/to/stub_shuffles.py:NAME`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from fake_models import SIGN, Readout, answers_only, pronoun, table

from faithcheck import NodeScores
from faithcheck.circuit import Convergence
from faithcheck.errors import NotSupported

HERE = Path(__spec__.origin).resolve()
SEEN = []
"""The problems that `InOrder` was given."""


def readout(*amplitudes, fingerprint, base=None):
    """A model whose neurons move the logit difference of the right answer by the amplitudes."""
    node = (SIGN, table({}, 1.0))
    model = Readout(
        [node] * len(amplitudes), [pronoun(a) for a in amplitudes], answers_only() if base is None else base
    )
    model.fingerprint = fingerprint
    return model


def shuffling(amplitude=6.0, shuffles=lambda seed: (0.0,), base=None):
    """A model that does the task by `amplitude`; its shuffle of a seed has the amplitudes that `shuffles` gives."""
    model = readout(amplitude, fingerprint="own", base=base)
    model.shuffled = lambda seed: readout(*shuffles(seed), fingerprint=f"shuffled {seed}")
    return model


def cancelling(device="cpu"):
    """Shuffled, the two neurons cancel: the model does nothing, its first neuron alone does the task."""
    return shuffling(shuffles=lambda seed: (6.0, -6.0))


def beyond_reach(device="cpu"):
    """Shuffled, the only neuron does nothing."""
    return shuffling()


def in_two_steps(device="cpu"):
    """The first neuron prefers the right answer to the wrong one, the second lifts both above the word "when".

    One neuron of two meets a binary target loss of 0.15, only both meet a full one.
    """
    node = (SIGN, table({}, 1.0)), (table({}, 1.0), table({}, 1.0))
    model = Readout(node, [pronoun(6.0), {"she": 9.0, "he": 9.0}], answers_only(when=3.0))
    model.fingerprint = "own"
    model.shuffled = lambda seed: readout(0.0, fingerprint=f"shuffled {seed}")
    return model


def not_a_number(device="cpu"):
    """Shuffled, the model gives no number."""
    return shuffling(shuffles=lambda seed: (float("nan"),))


def _normed(lowest):
    """Shuffled, the model divides what its neurons write by its length; the first writes `lowest` of a wrong answer."""
    model = shuffling()
    nodes, write = [(SIGN, table({}, 1.0))] * 2, [pronoun(-lowest), pronoun(-6.0)]

    def shuffled(seed):
        other = Readout(nodes, write, answers_only(), gain=1.0)
        other.fingerprint = f"shuffled {seed}"
        return other

    model.shuffled = shuffled
    return model


def hollow(device="cpu"):
    """Shuffled, the first neuron alone leaves nothing to be divided by, 0 / 0. With both the loss is finite."""
    return _normed(0.0)


def nearly_hollow(device="cpu"):
    """The same, but the first neuron writes a little, so that all losses are finite."""
    return _normed(1e-3)


def unwilling(device="cpu"):
    model = shuffling()

    def shuffled(seed):
        raise NotSupported("these weights are not to be shuffled")

    model.shuffled = shuffled
    return model


class InOrder:
    """Keeps nodes in the order that the model has them in, and says that what it did not reach is out of reach."""

    name = "in order"

    def extract(self, problem):
        SEEN.append(problem)
        scores = {name: torch.arange(site.size, 0, -1).double() for name, site in problem.model.sites.items()}
        return NodeScores(scores, Convergence(1.0, 1, flattened=True))


class First(InOrder):
    """Keeps the first node only."""

    name = "first"

    def extract(self, problem):
        found = super().extract(problem)
        return replace(found, scores={name: scores * (scores == len(scores)) for name, scores in found.scores.items()})


class Alters(InOrder):
    """Changes a shuffled model."""

    name = "alters"

    def extract(self, problem):
        if problem.model.fingerprint != "own":
            problem.model.write[0] *= 0
        return super().extract(problem)
