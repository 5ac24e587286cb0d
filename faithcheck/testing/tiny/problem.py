"""A task of a few prompts, and a model of random weights in which it is planted: who runs, he or she?

A name's sign is in its embedding. Head 0 of layer 0 looks from the last word to the name and brings the sign, two
neurons make it larger, and the unembedding reads it. All other weights are noise, so that every node does a little.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from faithcheck.ablation import Ablation, AblationKind
from faithcheck.baselines import measured
from faithcheck.bench import Bench
from faithcheck.circuit import Norms
from faithcheck.losses import LossKind
from faithcheck.marked_yaml import loads
from faithcheck.method import Budget, Problem
from faithcheck.model import HEADED, Model
from faithcheck.task import Task, task_of
from faithcheck.task_file import checked
from faithcheck.testing.tiny.model import TinyModel

TARGET_LOSS = 0.15
FEMALE, MALE = ("ada", "eve", "mia"), ("bob", "leo", "tom")
ACTIONS = ("runs", "sings", "waits", "works", "falls", "jumps", "reads")
WORDS = (".", "when", "and", "then", "now", "he", "she", "is", "was", *FEMALE, *MALE, *ACTIONS)
SAMPLE_TEXT = ("and then she works", "now he was", "then ada and tom", "is leo now . she sings and he waits")
SIGN, NAME, ANSWER, LAST = range(4)
"""Channels of the residual stream that mean something."""
CHANNELS, HEADS, D_HEAD, NEURONS, LAYERS = 8, 2, 3, 10, 2
NOISE = 0.12

TASK = """
faithcheck_task: 1
task: tiny
about: the pronoun of a name
slots: {name: {gender: {female: [ada, eve, mia], male: [bob, leo, tom]}}}
templates: ["{name} {action}", "when {name} {action}"]
unit: name
variables: {gender: name.gender}
answer: {variable: gender, tokens: {female: she, male: he}}
nonsense: {female: is, male: was}
splits:
  train: {slots: {action: [runs, sings]}}
  validation: {slots: {action: [waits, works]}}
  test: {slots: {action: [falls, jumps]}}
shifts:
  calm: {slots: {action: [reads]}}
"""


class TinyTokenizer:
    """One token a word; words are separated by spaces."""

    def encode(self, text: str) -> list[int]:
        try:
            return [WORDS.index(word) for word in text.split()]
        except ValueError:
            unknown = next(word for word in text.split() if word not in WORDS)
            raise ValueError(f"{unknown!r} is not in the vocabulary") from None

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(WORDS[token] for token in tokens)


def tiny_problem(
    *,
    ablation: AblationKind = "zero",
    norms: Norms = "live",
    loss: LossKind = "full",
    seed: int = 0,
    budget: Budget | None = None,
) -> Problem:
    """A problem of 24 prompts on a model of 120 nodes; all its parts are as the harness makes them."""
    return problem_on(tiny_bench(tiny_model(), ablation, norms, loss), seed, budget)


def problem_on(bench: Bench, seed: int = 0, budget: Budget | None = None) -> Problem:
    """What a method is asked on a bench."""
    return Problem(
        model=bench.model,
        prompts=bench.prompts("train"),
        loss=bench.loss,
        target_loss=bench.target_loss,
        ablation=bench.ablation,
        norms=bench.norms,
        seed=seed,
        budget=budget or Budget(),
    )


def tiny_bench(
    tiny: TinyModel, ablation: AblationKind = "zero", norms: Norms = "live", loss: LossKind = "full"
) -> Bench:
    """The tiny task on a model, with the means of the ablation measured."""
    model = cast("Model", tiny)  # it lacks optional parts
    bench = Bench(model, tiny_task(), loss, TARGET_LOSS, Ablation(ablation), norms)
    bench.ablation = measured(bench.ablation, model, bench.prompts("train"))
    return bench


@cache
def tiny_task() -> Task:
    where = "the tiny task"
    return task_of(checked(loads(TASK, where)), Path(where))


def tiny_model(seed: int = 0, dtype: torch.dtype = torch.float32) -> TinyModel:
    """Noise drawn by the seed, and the path of the task."""
    return TinyModel("tiny", tiny_tensors(seed, dtype), TinyTokenizer(), SAMPLE_TEXT)


def tiny_tensors(seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """What `TinyModel` is made of."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: NOISE * torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in _shapes().items()
    }
    for name, tensor in tensors.items():
        if name.endswith(".gain"):
            tensor += 1
    _plant(tensors)
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"embed": (len(WORDS), CHANNELS), "unembed": (len(WORDS), CHANNELS)}
    for layer in range(LAYERS):
        for kind in HEADED:
            shapes[f"{layer}.{kind}.weight"] = (HEADS * D_HEAD, CHANNELS)
        shapes[f"{layer}.attn_out.weight"] = (CHANNELS, HEADS * D_HEAD)
        shapes[f"{layer}.mlp_neuron.weight"] = (NEURONS, CHANNELS)
        shapes[f"{layer}.mlp_out.weight"] = (CHANNELS, NEURONS)
        shapes[f"{layer}.sink"] = (HEADS,)
        shapes |= {f"{layer}.{norm}.gain": (CHANNELS,) for norm in ("ln_1", "ln_2")}
    return shapes | {"ln_f.gain": (CHANNELS,)}


def _plant(tensors: dict[str, Tensor]) -> None:
    """The path of the task; node 0 of q, k and v belongs to head 0."""
    token = {word: place for place, word in enumerate(WORDS)}
    for word in (*FEMALE, *MALE):
        tensors["embed"][token[word], SIGN] = 1.0 if word in FEMALE else -1.0
        tensors["embed"][token[word], NAME] = 1.0
    for word in ACTIONS:
        tensors["embed"][token[word], LAST] = 1.0
    tensors["0.attn_q.weight"][0, LAST] = 2.0
    tensors["0.attn_k.weight"][0, NAME] = 2.0
    tensors["0.attn_v.weight"][0, SIGN] = 1.0
    tensors["0.attn_out.weight"][ANSWER, 0] = 1.0
    for neuron, sign in enumerate((1.0, -1.0)):
        tensors["0.mlp_neuron.weight"][neuron, ANSWER] = sign
        tensors["0.mlp_out.weight"][ANSWER, neuron] = sign
    for word, sign in (("she", 1.0), ("he", -1.0)):
        tensors["unembed"][token[word], ANSWER] = 3.0 * sign
        tensors["unembed"][token[word], LAST] = 3.0
