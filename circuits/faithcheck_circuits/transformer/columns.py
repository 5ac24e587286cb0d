"""The columns that a run computes: one for each position of each prompt, or for each prefix that prompts share.

Attention is causal and there are no positional embeddings, so what a position computes depends on the tokens up to it
alone. Prompts that a task fills in from templates share most of their beginnings; where only the answer is asked for,
nothing after it is computed either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

WORTH = 0.9
"""Prefixes are shared where they are at most this share of all positions: finding the keys of each has a price."""


@dataclass(frozen=True)
class Queries:
    """Columns that attend alike: `at` of all queries; `keys` int[key, query], the columns that each sees, the first
    position first; `leading` if these are the first columns in their order; `seen` bool[member or 1, key, query] where
    not every query sees all of its keys."""

    at: slice
    keys: Tensor
    leading: bool
    seen: Tensor | None = None


@dataclass(frozen=True)
class Answers:
    """The columns at which logits are asked for, int[query] or int[member, query]; as queries; and the query of each
    prompt, int[prompt], None where queries are prompts."""

    columns: Tensor
    queries: Queries
    of_prompt: Tensor | None


@dataclass(frozen=True)
class Columns:
    """`tokens`: int[member or 1, column]. `place`: int[prompt, pos], the column of each position, ordered by position.

    `widths`: how many columns each position has. `home`: int[column], a position (prompt * positions + pos) of each.
    """

    tokens: Tensor
    place: Tensor
    widths: tuple[int, ...]
    home: Tensor
    needed: Tensor | None
    """bool[prompt, pos], the positions that have a column, where some prompts share columns; else None."""

    @classmethod
    def apart(cls, tokens: Tensor) -> Columns:
        """One column for each position, of tokens int[member or 1, prompt, pos]."""
        _, prompts, length = tokens.shape
        layout = _apart(prompts, length, tokens.device)
        return replace(layout, tokens=tokens.transpose(1, 2).flatten(1))

    @classmethod
    def together(cls, tokens: Tensor, positions: Tensor | None) -> Columns | None:
        """One column for each prefix of int[1, prompt, pos], up to int[prompt] positions; None where few are shared."""
        rows, last = tokens[0].numpy(), None if positions is None else positions.numpy()
        if not rows.size:
            return None
        place, start, parent = np.zeros(rows.shape, np.int64), 0, np.zeros(len(rows), np.int64)
        widths, homes = [], []
        for pos in range(rows.shape[1]):
            some = np.arange(len(rows)) if last is None else np.flatnonzero(last >= pos)
            pairs = parent[some] * (int(rows.max()) + 1) + rows[some, pos]
            _, first, which = np.unique(pairs, return_index=True, return_inverse=True)
            place[some, pos] = start + which
            parent[some] = start + which
            homes.append(some[first] * rows.shape[1] + pos)
            widths.append(len(first))
            start += len(first)
        if start > WORTH * rows.size:
            return None
        if last is not None:  # what is not computed stands for the answer's own column
            place = np.take_along_axis(place, np.minimum(np.arange(rows.shape[1]), last[:, None]), 1)
        home = torch.from_numpy(np.concatenate(homes))
        needed = torch.arange(rows.shape[1]) <= (rows.shape[1] if positions is None else positions[:, None])
        needed = needed.expand(rows.shape)
        return cls(tokens.flatten(1)[:, home], torch.from_numpy(place), tuple(widths), home, needed)

    @cached_property
    def queries(self) -> list[Queries]:
        """Every column as a query, those of one position together."""
        if self.needed is None:
            return _queries_apart(*self.place.shape, self.place.device)
        found, start = [], 0
        prompt, length = self.home // self.place.shape[1], self.place.shape[1]
        for pos, width in enumerate(self.widths[:length]):
            at = slice(start, start + width)
            found.append(Queries(at, self.place[prompt[at], : pos + 1].T, False))
            start += width
        return found

    def answers(self, positions: Tensor) -> Answers:
        """Of int[prompt], or int[member, prompt] where columns are apart."""
        every = torch.arange(len(self.place), device=self.place.device)
        columns, pos = self.place[every, positions], torch.arange(self.place.shape[1], device=self.place.device)
        prompt, of_prompt = every, None
        if self.needed is not None:
            unique, first, which = (torch.from_numpy(part) for part in _unique(columns))
            if len(unique) < len(columns):
                columns, prompt, of_prompt = unique, first, which
        seen = pos[:, None] <= torch.atleast_2d(positions)[:, None, prompt]
        keys = self.place[prompt].T
        return Answers(columns, Queries(slice(0, len(prompt)), keys, self.needed is None, seen), of_prompt)

    def gather(self, lever: Tensor) -> Tensor | None:
        """A lever float[member, prompt, pos, ...] as float[member, ..., column], the columns 1 where it is the same at
        all; None where positions that share a column differ in it."""
        if lever.shape[1] == lever.shape[2] == 1:
            return lever[:, 0].movedim(1, -1)
        flat = lever.expand(-1, *self.place.shape, *lever.shape[3:]).flatten(1, 2)
        picked = flat[:, self.home].movedim(1, -1)
        if self.needed is not None:
            alike = (self.spread(picked) == lever) | ~self.needed.view(1, *self.needed.shape, *(1,) * (lever.dim() - 3))
            if not bool(alike.all()):
                return None
        return picked

    def spread(self, value: Tensor) -> Tensor:
        """float[member, ..., column] as float[member, prompt, pos, ...]."""
        return value[..., self.place].movedim((-2, -1), (1, 2))


@lru_cache(maxsize=64)
def _apart(prompts: int, length: int, device: torch.device) -> Columns:
    """The layout of one column for each position, with no tokens yet."""
    with torch.inference_mode(False):
        every = torch.arange(prompts * length, device=device)
        home = every.view(prompts, length).T.flatten()
        return Columns(every[None, :0], every.view(length, prompts).T, (prompts,) * length, home, None)


@lru_cache(maxsize=64)
def _queries_apart(prompts: int, length: int, device: torch.device) -> list[Queries]:
    with torch.inference_mode(False):
        every = torch.arange(prompts * length, device=device).view(length, prompts)
        return [Queries(slice(p * prompts, (p + 1) * prompts), every[: p + 1], True) for p in range(length)]


def _unique(columns: Tensor) -> tuple[np.ndarray, ...]:
    return np.unique(columns.numpy(), return_index=True, return_inverse=True)


def at_columns(value: Tensor, columns: Tensor) -> Tensor:
    """float[member, ..., query] of float[member, ..., column], at int[query] or int[member, query]."""
    if columns.dim() == 1:
        return value.index_select(-1, columns)
    members = max(len(value), len(columns))
    where = columns.view(len(columns), *(1 for _ in value.shape[1:-1]), -1)
    return value.expand(members, *value.shape[1:]).gather(-1, where.expand(members, *value.shape[1:-1], -1))
