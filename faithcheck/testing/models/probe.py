"""Prompts and levers drawn at random for a model under test, and how its numbers are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from faithcheck.model import Model, Run
from faithcheck.plugins import one_line
from faithcheck.testing.broken import Broken

PROMPTS, WIDTH = 4, 6
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""How far two ways to one number may be apart, relative to the largest of these numbers (or 1, where that is less).

About a thousand units in the last place of float32 and a dozen of bfloat16: sums of some thousand terms through some
dozen layers, in another order, stay well below; a forgotten lever or a wrong axis changes numbers by far more.
"""


@dataclass(frozen=True)
class Fault:
    """What was done to try a law, what should have come, and what came."""

    done: str
    expected: str
    found: str
    advice: tuple[str, ...] = ()


Law = Callable[["Probe"], Iterator[Fault]]
"""A law is called what its function is called."""


@dataclass(frozen=True)
class Probe:
    """`tokens` int[prompt, pos] and `positions` int[prompt], an answer position each; `bare` is the model's own run on
    them: logits float[1, prompt, pos, token], and all sites and norms captured."""

    model: Model
    tokens: Tensor
    positions: Tensor

    @classmethod
    def of(cls, model: Model, tokens: Tensor | None) -> Probe:
        """With the tokens given, or ids drawn from the whole vocabulary."""
        generator = torch.Generator().manual_seed(0)
        if tokens is None:
            token = torch.zeros(1, 1, dtype=torch.int64, device=model.device)
            with torch.no_grad():
                vocabulary = model.run(token).logits.shape[-1]
            tokens = torch.randint(vocabulary, (PROMPTS, WIDTH), generator=generator)
        positions = torch.randint(1, tokens.shape[1], (len(tokens),), generator=generator)
        return cls(model, tokens.to(model.device), positions.to(model.device))

    @cached_property
    def bare(self) -> Run:
        return self.run(capture=(*self.model.sites, *self.model.norms))

    def run(self, tokens: Tensor | None = None, **levers: Any) -> Run:
        with torch.no_grad():
            return self.model.run(self.tokens if tokens is None else tokens, **levers)

    def logits(self, tokens: Tensor | None = None, **levers: Any) -> Tensor:
        return self.run(tokens, **levers).logits

    def uniform(self, seed: int, *shape: int) -> Tensor:
        """Numbers from 0 to 1, drawn by the seed."""
        numbers = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return numbers.to(self.model.device, self.model.dtype)

    def masks(self, members: int = 1) -> dict[str, Tensor]:
        """{site: float[member, node]}: about one node in four is 0, the others are between 0 and 1."""
        drawn = (self.uniform(seed, members, at.size) for seed, at in enumerate(self.model.sites.values()))
        return {site: (4 * m - 1).clamp(0, 1) for site, m in zip(self.model.sites, drawn, strict=True)}

    def baselines(self, members: int = 1) -> dict[str, Tensor]:
        """{site: float[member, prompt, pos, node]}."""
        return {site: self.baseline(site, members) for site in self.model.sites}

    def baseline(self, site: str, members: int = 1) -> Tensor:
        """float[member, prompt, pos, node]: random numbers, as large as the site's own values, and by one larger."""
        value, seed = self.bare.captured[site], 1000 + list(self.model.sites).index(site)
        drawn = self.uniform(seed, members, *self.tokens.shape, value.shape[-1])
        return (1 + value.abs().mean()) * (2 * drawn - 1)

    def scales(self, members: int = 1) -> dict[str, Tensor]:
        """{norm: float[member, prompt, pos]}: the model's own, up to twice as large."""
        return {
            norm: self.bare.captured[norm] * (1 + self.uniform(2000 + seed, members, *self.tokens.shape))
            for seed, norm in enumerate(self.model.norms)
        }

    def answers(self, logits: Tensor) -> Tensor:
        """float[member, prompt, pos, token] -> float[member, prompt, token], at `positions`."""
        return logits[:, torch.arange(len(self.positions), device=logits.device), self.positions]

    def up_to_the_answer(self, value: Tensor, axis: int = 2) -> Tensor:
        """What is captured of a run, with 0 after the answer positions on this axis; another shape as it is."""
        if value.dim() <= axis or value.shape[axis] != self.tokens.shape[1]:
            return value
        counts = torch.arange(value.shape[axis], device=value.device) <= self.positions[:, None]
        shape = [1] * value.dim()
        shape[1], shape[axis] = counts.shape
        return value * counts.view(shape)

    def apart(self, found: Tensor, expected: Tensor) -> str:
        """How two tensors that should be the same differ; empty where they do not. A member axis may be 1."""
        if found.shape[1:] != expected.shape[1:] or len(found) not in (1, len(expected)):
            return f"a tensor of shape {tuple(found.shape)}, not {tuple(expected.shape)}"
        far = float((found.double() - expected.double()).abs().max()) if found.numel() else 0.0
        largest = float(expected.double().abs().max()) if expected.numel() else 0.0
        if far <= TOLERANCE[self.model.dtype] * max(1.0, largest):
            return ""
        return f"values that differ by up to {far:.3g}, where the largest is {largest:.3g}"


def broken_by(probe: Probe, laws: Sequence[Law]) -> Iterator[Broken]:
    """A law in whose trial the model raises is broken too."""
    for law in laws:
        name = law.__name__.replace("_", " ")
        try:
            for fault in law(probe):
                yield Broken(name, fault.done, fault.expected, fault.found, fault.advice)
        except Exception as error:
            yield Broken(name, (law.__doc__ or name).strip(), "no error", one_line(error), ())
