"""Which row of a wider value each slot of each member stands for: picking the slots' rows, and putting them back."""

from __future__ import annotations

import torch
from torch import Tensor


class Rows:
    """row: int[member, slot]; filled: bool[member, slot], where a row is meant at all; width: rows of the wider value.

    Values are float[member or 1, row or slot, column].
    """

    def __init__(self, row: Tensor, filled: Tensor, width: int):
        self._members, self._slots, self._width = len(row), row.shape[1], width
        self._spare = None if bool(filled.all()) else (~filled)[:, :, None]
        self._flat = (torch.arange(len(row), device=row.device)[:, None] * width + row.where(filled, 0)).flatten()

    def pick(self, x: Tensor) -> Tensor:
        """The slots' rows of the wider value; for an empty slot, any row."""
        if not self._width:
            return x.new_zeros(max(self._members, len(x)), self._slots, *x.shape[2:])
        if self._members == 1:
            return x.index_select(1, self._flat)
        wide = x.expand(self._members, *x.shape[1:]).flatten(0, 1)
        return wide.index_select(0, self._flat).unflatten(0, (self._members, -1))

    def put(self, x: Tensor, into: Tensor | None = None) -> Tensor:
        """The slots' values added to the rows of a wider value, or of zeros."""
        members = max(self._members, len(x), 1 if into is None else len(into))
        if into is None:
            into = x.new_zeros(members, self._width, *x.shape[2:])
        if not self._width:
            return into
        if self._spare is not None:
            x = x.masked_fill(self._spare, 0.0)
        into = into.expand(members, *into.shape[1:])
        if self._members == 1:
            return into.index_add(1, self._flat, x.expand(members, *x.shape[1:]))
        x = x.expand(members, *x.shape[1:])
        return into.flatten(0, 1).index_add(0, self._flat, x.flatten(0, 1)).unflatten(0, (members, -1))
