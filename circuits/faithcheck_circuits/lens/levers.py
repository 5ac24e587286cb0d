"""Masks, baselines, norm scales and captures as functions at hook points.

A hook point sees float[row, pos, ...]; a row is one prompt of one member, row = member * prompts + prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Hook = Callable[..., Tensor | None]


@dataclass(frozen=True)
class Rows:
    """How many members and prompts the rows of a batch are."""

    members: int
    prompts: int

    def split(self, value: Tensor) -> Tensor:
        """float[row, ...] -> float[member, prompt, ...]."""
        return value.unflatten(0, (self.members, self.prompts))

    def spread(self, value: Tensor) -> Tensor:
        """[prompt, ...] or [member or 1, prompt, ...] of the same for every token -> [row, ...]."""
        return value.expand(self.members, *value.shape[-2:]).flatten(0, 1)


@dataclass
class Recorder:
    """Makes the hooks of one run and holds what they captured."""

    rows: Rows
    captured: dict[str, Tensor] = field(default_factory=dict)

    def site(self, name: str, captures: bool, mask: Tensor | None, baseline: Tensor | None) -> Hook:
        def hook(value: Tensor, hook: Any) -> Tensor | None:
            nodes = self.rows.split(value.flatten(2))
            if captures:
                self.captured[name] = nodes
            return None if mask is None else _mixed(nodes, mask, baseline).reshape(value.shape)

        return hook

    def norm(self, name: str, captures: bool, given: Tensor | None) -> Hook:
        """The hook point of a norm sees the scale that it divides by, float[row, pos, 1]."""

        def hook(value: Tensor, hook: Any) -> Tensor | None:
            scale = self.rows.split(value.squeeze(-1))
            if given is not None:
                scale = given.to(value.dtype).expand(scale.shape)
            if captures:
                self.captured[name] = scale
            return None if given is None else scale.reshape(value.shape)

        return hook

    def pattern(self, name: str) -> Hook:
        """The hook point of a pattern sees float[row, head, query, key]; there is no sink, so its column is 0."""

        def hook(value: Tensor, hook: Any) -> None:
            pattern = self.rows.split(value.detach())
            self.captured[name] = torch.cat([pattern, torch.zeros_like(pattern[..., :1])], -1)

        return hook

    def raw(self, name: str) -> Hook:
        """Captures what the hook point sees, as it is."""

        def hook(value: Tensor, hook: Any) -> None:
            self.captured[name] = value

        return hook


def only_at(positions: Tensor) -> Hook:
    """What the unembedding reads, float[row, pos, channel], cut to one position a row: float[row, 1, channel]."""

    def hook(value: Tensor, hook: Any) -> Tensor:
        return value[torch.arange(len(value), device=value.device), positions][:, None]

    return hook


@contextmanager
def hooked(hooks: Sequence[tuple[Any, Hook]]) -> Iterator[None]:
    """Each function at its hook point, for the length of the block."""
    try:
        for point, hook in hooks:
            point.add_hook(hook)
        yield
    finally:
        for point, _ in hooks:
            point.remove_hooks("fwd")


def members_of(tokens: Tensor, levers: Sequence[Tensor]) -> int:
    """How many members the levers (and prompts of their own) make. Raises ValueError where they disagree."""
    counts = {lever.shape[0] for lever in levers} | ({tokens.shape[0]} if tokens.dim() == 3 else {1})
    if len(counts - {1}) > 1:
        raise ValueError(f"masks, baselines, scales and prompts are of different numbers of members: {sorted(counts)}")
    return max(counts)


def four_axes(value: Tensor) -> Tensor:
    """A lever at a site with its axes [member, prompt, pos, node]: [member, node] is the same for every prompt."""
    if value.dim() == 2:
        return value[:, None, None]
    return value.reshape(*(1,) * (4 - value.dim()), *value.shape)


def _mixed(nodes: Tensor, mask: Tensor, baseline: Tensor | None) -> Tensor:
    mask = mask.to(nodes.dtype)
    return mask * nodes if baseline is None else mask * nodes + (1 - mask) * baseline.to(nodes.dtype)
