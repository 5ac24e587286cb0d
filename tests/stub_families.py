"""Small families of scripted models, for tests of `faithcheck calibrate`; refer to them as `family("Rescaled")`.

Worker processes import this file too, so it must not depend on anything that a test sets up.
"""

from __future__ import annotations

import math
import os
import random
import tempfile
import time
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import torch
from fake_models import (
    FEMALE,
    MALE,
    ODD,
    ONE,
    TRAIN,
    WORDS,
    Readout,
    answers_only,
    circuit_of,
    pronoun,
    table,
    whole,
    write_task,
)
from known_bad import Clipped

from faithcheck.circuit import Convergence, NodeScores
from faithcheck.losses import prompt_losses
from faithcheck.planted import Planted

HERE = Path(__spec__.origin).resolve()
SILENT = [{}] * 17
"""Writes of neurons that do nothing: with them two neurons of twenty are few enough for `sufficiency`."""
NAMES = {"female": [*FEMALE, *ODD[:5]], "male": [*MALE, *ODD[5:10]]}
"""Enough names for the intervals of prompts that share a name."""
SIGN = table({**dict.fromkeys(NAMES["female"], 1.0), **dict.fromkeys(NAMES["male"], -1.0)})


def family(name):
    return f"{HERE}:{name}"


def toy_task():
    with tempfile.TemporaryDirectory() as folder:
        return write_task(Path(folder), **NAMES, odd=TRAIN)


class Rescaled:
    """Neuron 0 does the task; neuron 1 writes the same, but so little that only a live norm makes an answer of it.

    Neuron 2 writes what both are divided by; no circuit needs it, but without it an empty stream would have norm 0.
    """

    name = "rescaled"
    exercises = ("layernorm",)
    decoy_method = None
    method_scope = False

    def plant(self, seed):
        amplitude = random.Random(f"{self.name}/{seed}").uniform(0.02, 0.1)
        writes = [{"she": a, "he": -a} for a in (1.0, amplitude)]
        scale = math.sqrt((2 * (1 + amplitude) ** 2 + 1e-4) / len(WORDS))
        gain = 2.5 * scale / (1 + amplitude)  # a logit difference of 5 in the whole model, a loss of 0.007
        nodes = [(SIGN, ONE), (SIGN, ONE), (ONE, ONE)] + [(SIGN, ONE)] * len(SILENT)
        model = Readout(nodes, [*writes, {"pad": 0.01}, *SILENT], answers_only(), gain)
        true, decoy = (circuit_of(model, mlp_neuron=[n, 2]) for n in (0, 1))
        return Planted(model, toy_task(), true, self.choose(true, decoy), 0.15, {"amplitude": amplitude})

    def choose(self, true, decoy):
        return decoy


class Leaky(Rescaled):
    """Calls the true circuit a decoy, so that its decoy passes."""

    name = "leaky"

    def choose(self, true, decoy):
        return true


class LeakyAtZero(Rescaled):
    """Its decoy passes with seed 0."""

    name = "leaky_at_zero"

    def plant(self, seed):
        planted = super().plant(seed)
        return planted if seed else replace(planted, decoy=planted.true)


class Honest(Rescaled):
    """No decoy, and no check is exercised."""

    name = "honest"
    exercises = ()

    def choose(self, true, decoy):
        return None


class Empty(Rescaled):
    """Its decoy answers nothing."""

    name = "empty"

    def choose(self, true, decoy):
        return replace(true, keep={site: kept & decoy.keep[site] for site, kept in true.keep.items()})


class Doubled(Rescaled):
    """Its true circuit is the whole model, which does not miss any one neuron."""

    name = "doubled"

    def plant(self, seed):
        model = Clipped(SIGN)
        return Planted(model, toy_task(), whole(model), None, 0.15)


class Crashing(Rescaled):
    """Cannot be planted with seed 1."""

    name = "crashing"

    def plant(self, seed):
        if seed == 1:
            raise ValueError("no ground\nsecond line")
        return super().plant(seed)


class Rude(Rescaled):
    """Sends control characters with its errors."""

    name = "rude"

    def plant(self, seed):
        raise ValueError("\x1b[31mred")


class Twin(Honest):
    """Has the name of another family."""

    name = "rescaled"


class Exits(Rescaled):
    """Wants to end the program on seed 1."""

    name = "exits"

    def plant(self, seed):
        if seed == 1:
            raise SystemExit(0)
        return super().plant(seed)


class Dies(Rescaled):
    """Ends its process on seed 1 before anything can be said about it."""

    name = "dies"

    def plant(self, seed):
        if seed == 1:
            os._exit(7)
        return super().plant(seed)


class Misfit(Rescaled):
    """Its decoy is a circuit of another model."""

    name = "misfit"

    def choose(self, true, decoy):
        return whole(Readout([(SIGN, ONE)], [pronoun(1.0)]))


class NotData(Rescaled):
    """What it drew cannot be written down."""

    name = "not_data"

    def plant(self, seed):
        planted = super().plant(seed)
        return Planted(planted.model, planted.task, planted.true, planted.decoy, 0.15, {"drawn": {1, 2}})


class Stuck(Rescaled):
    """From seed 2 on it never ends. It says where that it has got there."""

    name = "stuck"

    def plant(self, seed):
        if seed >= 2:
            Path(f"stuck-{os.getpid()}").touch()
            time.sleep(120)
        return super().plant(seed)


class Unable(Rescaled):
    """The model cannot do its own task within the target loss, so that nothing applies."""

    name = "unable"

    def plant(self, seed):
        planted = super().plant(seed)
        return Planted(planted.model, planted.task, planted.true, planted.decoy, 1e-9)


class UnableElsewhere(Unable):
    """The same, and no check is exercised."""

    name = "unable_elsewhere"
    exercises = ()


class Cancelling:
    """Neuron 0 does the task. The next six each answer with two of "when", "is" and "so", and cancel unless one is left
    out."""

    name = "cancelling"
    exercises = ("nonsense_control",)
    decoy_method = (f"{HERE}:BestNeuron", {})
    method_scope = True

    def plant(self, seed):
        base = torch.full((len(WORDS), len(WORDS)), -1000.0, dtype=torch.float64)
        labels = ("when", "is", "so")
        base[:] = answers_only(**dict.fromkeys(labels, -5.0))
        for before, word in (("is", "when"), ("so", "is"), ("and", "so")):
            base[WORDS.index(before)] = table({word: 0.0}, -1000.0)
        six = [{first: 14.0, second: -14.0} for first, second in permutations(labels, 2)]
        nodes = [(SIGN, ONE)] * (1 + len(six) + len(SILENT))
        model = Readout(nodes, [pronoun(6.0), *six, *SILENT], base, sample_text=("is so and",))
        return Planted(model, toy_task(), circuit_of(model, mlp_neuron=[0]), None, 0.15)


class BestNeuron:
    """Keeps the one neuron that gives the labels best, whatever the model does with it."""

    name = "best_neuron"

    def extract(self, problem):
        model, prompts = problem.model, problem.prompts
        [(site, at)] = model.sites.items()
        run = model.run(prompts.tokens, positions=prompts.positions, masks={site: torch.eye(at.size).double()})
        losses = prompt_losses(run.logits, prompts.targets, prompts.distractors, problem.loss).mean(1)
        scores = torch.zeros(at.size).double()
        scores[losses.argmin()] = 1.0
        return NodeScores({site: scores}, Convergence(float(losses.min()), 1, False))


class NotAFamily:
    """Lacks all that a family has."""


class Fails(Rescaled):
    def __init__(self):
        raise RuntimeError("no soil")
