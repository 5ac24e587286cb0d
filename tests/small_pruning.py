"""A tiny transformer, built by hand, that answers with a name's pronoun, and problems for sparse_prune on it."""

from __future__ import annotations

from dataclasses import replace

import torch
from faithcheck_circuits.methods.sparse_prune import SparsePrune
from faithcheck_circuits.transformer.model import SparseTransformer
from small_models import Words, prompt_set, random_tensors, small_config

from faithcheck.ablation import Ablation
from faithcheck.method import Problem

SHE, HE, COMMA, WOMEN, MEN, END = 1, 2, 3, 4, 8, 12
"""Token ids; names are 4 to 7 and 8 to 11, other words 12 to 15."""


def pronoun_model(dtype=torch.float32, seed=0):
    """One head carries the name's gender to the answer; every other weight is small noise. Its loss is 0.03."""
    config = small_config("one layer", vocabulary=16, norm_eps=1e-6)
    tensors = {
        name: 1 + 0.03 * (noise - 1) if name.endswith(".gain") else 0.03 * noise
        for name, noise in random_tensors(config, seed).items()
    }
    tensors["embed"][:, 15] += 1
    tensors["embed"][WOMEN:END, 1] += 3
    tensors["embed"][WOMEN:MEN, 0] += 3
    tensors["embed"][MEN:END, 0] -= 3
    for matrix, row, column in (("q", 0, 15), ("k", 0, 1), ("v", 0, 0), ("out", 3, 0)):
        tensors[f"0.attn_{matrix}.weight"][row, column] += 4
    tensors["unembed"][SHE, 3] += 1.5
    tensors["unembed"][HE, 3] -= 1.5
    return SparseTransformer("pronoun", config, {n: t.to(dtype) for n, t in tensors.items()}, Words("ab"))


def pronoun_prompts(prompts=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    names = torch.randint(WOMEN, END, (prompts,), generator=generator)
    others = torch.randint(END, 16, (2, prompts), generator=generator)
    tokens = torch.stack([others[0], names, others[1], torch.full((prompts,), COMMA)], 1)
    classes = (names >= MEN).long()
    answers = torch.tensor([SHE, HE])
    last = torch.full((prompts,), 3)
    return prompt_set(tokens, last, answers[classes], answers[1 - classes], classes)


MODEL, TRAIN, OTHERS = pronoun_model(), pronoun_prompts(), pronoun_prompts(seed=1)
NODES = sum(site.size for site in MODEL.sites.values())


def doubled(model):
    """The model in double precision."""
    tensors = {name: tensor.double() for name, tensor in model.network.tensors.items()}
    return SparseTransformer(model.name, model.config, tensors, model.tokenizer)


def problem(**changes):
    usual = {"model": MODEL, "prompts": TRAIN, "loss": "full", "target_loss": 0.15, "ablation": Ablation()}
    return Problem(**{**usual, "norms": "live", "seed": 0, **changes})


def relabelled(**changes):
    """The task and three controls: the answers exchanged, and two pairs of words that mean nothing."""
    sets = (TRAIN, *(TRAIN.relabelled(answers) for answers in ((HE, SHE), (5, 9), (13, 14))))
    return [problem(prompts=prompts, **changes) for prompts in sets]


def framed(frames):
    """The train prompts in that many frames, in turn."""
    return replace(TRAIN, frames=torch.arange(64) % frames)


def method(**parameters):
    usual = {"steps": 60, "batch": 32, "k_coef": 1e-3, "lr": 0.02, "sweep": (1.0, 0.1), "full_every": 8}
    return SparsePrune(SparsePrune.Parameters(**{**usual, **parameters}))


def close(one, other, tolerance=1e-6):
    """Scores within 1e-6: they lie in [-1, 1], and forty float32 updates of sums in another order differ by 1e-7."""
    assert one.keys() == other.keys()
    return all((one[site] - other[site]).abs().max() <= tolerance for site in one)
