"""Tiny random weight-sparse transformers: every bias, gain and sink is random, so that none can be left out unseen."""

from __future__ import annotations

import torch
from faithcheck_circuits.transformer.config import Config
from faithcheck_circuits.transformer.model import SparseTransformer

from faithcheck.prompts import PromptSet

VARIANTS = {
    "plain": {},
    "top-k": {"activation_topk": 0.25},
    "bigram": {"bigram": True},
    "one layer": {"layers": 1, "norm_eps": 0.1},
    "three layers": {"layers": 3, "d_head": 8},
    "one head": {"d_head": 16},
    "weight-sparse": {"d_model": 32, "d_head": 8, "vocabulary": 40},
    "all at once": {"layers": 3, "activation_topk": 0.25, "bigram": True, "norm_eps": 0.1},
}
SPARSE = ("weight-sparse", "all at once")
"""Variants of which about one weight in five is not zero."""


class Words:
    """A tokenizer that splits at spaces; a word's id is its place in the vocabulary."""

    def __init__(self, words):
        self.words = list(words)

    def encode(self, text):
        unknown = [word for word in text.split() if word not in self.words]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not in the vocabulary")
        return [self.words.index(word) for word in text.split()]

    def decode(self, tokens):
        return " ".join(self.words[token] for token in tokens)


def small_config(variant="plain", **changes) -> Config:
    shape = {"vocabulary": 23, "d_model": 16, "d_head": 4, "d_mlp": 24, "layers": 2}
    return Config(**{**shape, **VARIANTS[variant], **changes})


def random_tensors(config, seed=0, dtype=torch.float64, share=1.0):
    """Every tensor random; matrices keep about `share` of their weights."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in config.shapes().items():
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        if len(shape) == 1:
            noise = 1 + 0.3 * noise if name.endswith(".gain") else 0.5 * noise
        elif name not in ("embed", "unembed", "bigram"):
            kept = torch.rand(shape, generator=generator) < share
            noise = 1.5 * noise * kept / (max(share, 0.01) * shape[1]) ** 0.5
        tensors[name] = noise.to(dtype)
    return tensors


def small_model(variant="plain", seed=0, dtype=torch.float64, **changes) -> SparseTransformer:
    """float64 by default: two ways to one number then agree far below any error, and top-k never flips at a tie."""
    config = small_config(variant, **changes)
    tensors = random_tensors(config, seed, dtype, share=0.2 if variant in SPARSE else 1.0)
    return SparseTransformer(f"{variant} {seed}", config, tensors, Words(f"w{i}" for i in range(config.vocabulary)))


def random_prompts(model, seed=0, prompts=3, width=5):
    """tokens int[prompt, pos] right-padded with 0, and the position of each prompt's last real token."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, model.config.vocabulary, (prompts, width), generator=generator)
    positions = torch.randint(0, width, (prompts,), generator=generator)
    return tokens * (torch.arange(width) <= positions[:, None]), positions


def random_keep(model, seed=0, members=None, shares=(0.0, 0.3, 0.7, 1.0)):
    """{site: bool[node]}, or bool[member, node]; each member and site keeps a share drawn from `shares`."""
    generator = torch.Generator().manual_seed(seed)
    keep = {}
    for site, at in model.sites.items():
        share = torch.tensor(shares)[torch.randint(len(shares), (members or 1, 1), generator=generator)]
        kept = torch.rand(members or 1, at.size, generator=generator) < share
        keep[site] = kept if members else kept[0]
    return keep


def prompt_set(tokens, positions, targets, distractors, classes=None) -> PromptSet:
    """Prompts as tensors, without a task; each prompt is a unit of its own."""
    return PromptSet(
        texts=tuple(f"{i}: {row}" for i, row in enumerate(tokens.tolist())),
        tokens=tokens,
        positions=positions,
        targets=targets,
        distractors=distractors,
        classes=torch.zeros_like(positions) if classes is None else classes,
        units=torch.arange(len(tokens)),
        frames=torch.arange(len(tokens)),
        variables={},
        levels={},
        roles={"last": positions},
    )
