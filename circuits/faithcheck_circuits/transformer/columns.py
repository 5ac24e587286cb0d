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
    """What each query attends to: `keys` int[query, key], the columns of a prompt's positions in their order, of which
    it sees the first `count` int[member or 1, query]."""

    keys: Tensor
    count: Tensor


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

    `home`: int[column], a position (prompt * positions + pos) of each.
    """

    tokens: Tensor
    place: Tensor
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
        rows = tokens[0].numpy()
        if not rows.size:
            return None
        length, every = rows.shape[1], np.arange(len(rows))
        needed = np.ones(rows.shape, bool) if positions is None else np.arange(length) <= positions.numpy()[:, None]
        beyond = rows.min() - 1
        rows = np.where(needed, rows, beyond)
        order = np.lexsort(rows.T[::-1])
        ordered = rows[order]
        new = ordered != beyond
        new[1:] &= np.logical_or.accumulate(ordered[1:] != ordered[:-1], 1)
        count = new.cumsum(0)
        widths = count[-1]
        if widths.sum() > WORTH * rows.size:
            return None
        place = np.empty(rows.shape, np.int64)
        place[order] = widths.cumsum() - widths + count - 1
        if positions is not None:  # what is not computed stands for the answer's own column
            place = np.where(needed, place, place[every, positions.numpy()][:, None])
        pos, row = new.T.nonzero()
        home = torch.from_numpy(order[row] * length + pos)
        return cls(
            tokens.flatten(1)[:, home],
            torch.from_numpy(place),
            home,
            torch.from_numpy(needed),
        )

    @cached_property
    def queries(self) -> Queries:
        """Every column as a query."""
        length = self.place.shape[1]
        return Queries(self.place[self.home // length], (self.home % length + 1)[None])

    def answers(self, positions: Tensor) -> Answers:
        """Of int[prompt], or int[member, prompt] where columns are apart."""
        every = torch.arange(len(self.place), device=self.place.device)
        columns, prompt, of_prompt = self.place[every, positions], every, None
        if self.needed is not None:
            unique, first, which = (torch.from_numpy(part) for part in _unique(columns))
            if len(unique) < len(columns):
                columns, prompt, of_prompt = unique, first, which
        return Answers(columns, Queries(self.place[prompt], torch.atleast_2d(positions)[:, prompt] + 1), of_prompt)

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
        return Columns(every[None, :0], every.view(length, prompts).T, home, None)


def _unique(columns: Tensor) -> tuple[np.ndarray, ...]:
    return np.unique(columns.numpy(), return_index=True, return_inverse=True)


def at_columns(value: Tensor, columns: Tensor) -> Tensor:
    """float[member, ..., query] of float[member, ..., column], at int[query] or int[member, query]."""
    if columns.dim() == 1:
        return value.index_select(-1, columns)
    members = max(len(value), len(columns))
    where = columns.view(len(columns), *(1 for _ in value.shape[1:-1]), -1)
    return value.expand(members, *value.shape[1:]).gather(-1, where.expand(members, *value.shape[1:-1], -1))
