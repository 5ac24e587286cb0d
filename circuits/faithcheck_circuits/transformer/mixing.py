"""How heads mix values over columns, forward and backward, for the attention layers of a run under hard masks.

q, k and v are float[head, channel, column]; heads of all members follow each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from faithcheck_circuits.transformer.attention import keys_of, mix, mix_backward, with_sink
from faithcheck_circuits.transformer.columns import Answers, Columns, Queries

QKV = tuple[Tensor, Tensor, Tensor]


class AtColumns:
    """Every column is a key; the queries are all of them, or those of the answers."""

    def __init__(self, columns: Columns, answers: Answers | None):
        self._queries: Sequence[Queries] = columns.queries if answers is None else [answers.queries]
        self._answers = None if answers is None else answers.columns
        self._columns = columns.tokens.shape[1]

    def at_queries(self, x: Tensor) -> Tensor:
        """The columns, of float[row, column], that q is read at."""
        return x if self._answers is None else x.index_select(1, self._answers)

    def wide(self, by: Tensor) -> Tensor:
        """The gradient of what `at_queries` is given, from the one of what it gives."""
        if self._answers is None:
            return by
        return by.new_zeros(len(by), self._columns).index_add_(1, self._answers, by)

    def forward(self, qkv: QKV, sinks: Tensor) -> Tensor:
        """float[head, channel, query]. sinks: float[head]."""
        q, k, v = (x[None] for x in qkv)
        mixed, self._patterns = mix(q, k, v, sinks[None], self._queries)
        return mixed[0]

    def backward(self, by_mixed: Tensor, qkv: QKV) -> QKV:
        q, k, v = (x[None] for x in qkv)
        by_q, by_k, by_v = mix_backward(by_mixed[None], q, k, v, self._patterns, self._queries)
        return by_q[0], by_k[0], by_v[0]

    def sums(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The sums over the keys of each query, float[row, query], of float[row, column]; their number float[query]."""
        width = self._columns if self._answers is None else len(self._answers)
        sums, count = x.new_empty(len(x), width), x.new_empty(width)
        for part in self._queries:
            keys = keys_of(x[None, None], part)[0, 0]
            seen = None if part.seen is None else part.seen[0].to(x.dtype)
            sums[:, part.at] = keys.sum(1) if seen is None else (keys * seen).sum(1)
            count[part.at] = len(part.keys) if seen is None else seen.sum(0)
        return sums, count


class AtTokens:
    """The first layer: what a column reads depends on its token alone, so q, k and v are taken once for each token.

    kind: int[column], the place of each column's token among those that q, k and v are given for.
    """

    def __init__(self, columns: Columns, answers: Answers | None, kind: Tensor, kinds: int):
        parts = columns.queries if answers is None else [answers.queries]
        keys, seen = zip(*(_padded(part, columns.place.shape[1]) for part in parts), strict=True)
        self._seen = torch.cat(seen, 1)
        self._keys = kind[torch.cat(keys, 1)]
        """int[key, query], the kinds of the keys."""
        self._query = kind if answers is None else kind.index_select(0, answers.columns)
        self._kinds = kinds

    def at_queries(self, x: Tensor) -> Tensor:
        return x

    def wide(self, by: Tensor) -> Tensor:
        return by

    def forward(self, qkv: QKV, sinks: Tensor) -> Tensor:
        q, k, v = qkv
        scores = (q.transpose(1, 2) @ k).mul_(1 / math.sqrt(q.shape[1])).flatten(1)
        pairs = scores.index_select(1, self._pairs().flatten()).unflatten(1, self._keys.shape)
        self._shares = with_sink(pairs.masked_fill_(~self._seen, -torch.inf)[None], sinks[None])[0, :, :-1]
        self._by_kind = self._over_kinds(self._shares)
        return v @ self._by_kind

    def backward(self, by_mixed: Tensor, qkv: QKV) -> QKV:
        q, k, v = qkv
        by_v = by_mixed @ self._by_kind.transpose(1, 2)
        towards = (v.transpose(1, 2) @ by_mixed).gather(1, self._each(len(v)))
        towards = (towards - (self._shares * towards).sum(1, keepdim=True)).mul_(self._shares)
        by_scores = q.new_zeros(len(q), self._kinds**2).index_add_(1, self._pairs().flatten(), towards.flatten(1))
        by_scores = by_scores.mul_(1 / math.sqrt(q.shape[1])).view(-1, self._kinds, self._kinds)
        return k @ by_scores.transpose(1, 2), q @ by_scores, by_v

    def sums(self, x: Tensor) -> tuple[Tensor, Tensor]:
        counts = self._over_kinds(self._seen.to(x.dtype)[None])[0]
        return x @ counts, counts.sum(0)

    def _pairs(self) -> Tensor:
        """int[key, query]: the place of each pair among all pairs of kinds, the query's first."""
        return self._query * self._kinds + self._keys

    def _each(self, heads: int) -> Tensor:
        return self._keys.expand(heads, -1, -1)

    def _over_kinds(self, x: Tensor) -> Tensor:
        """float[head, key, query] summed over the keys of a kind, float[head, kind, query]."""
        return x.new_zeros(len(x), self._kinds, x.shape[2]).scatter_add_(1, self._each(len(x)), x)


def _padded(part: Queries, length: int) -> tuple[Tensor, Tensor]:
    """The keys int[key, query] of some queries, and which are seen, for as many keys as there are positions."""
    seen = torch.ones_like(part.keys, dtype=torch.bool) if part.seen is None else part.seen[0]
    more = (0, 0, 0, length - len(part.keys))
    return F.pad(part.keys, more), F.pad(seen, more)
