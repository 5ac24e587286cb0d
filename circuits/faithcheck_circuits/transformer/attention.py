"""Causal attention with a sink, for activations float[member, head, channel, column].

Prompts of tasks are a few tokens long: products of 7 x 16 matrices, thousands of them, for which a library's matrix
product is many times slower than multiplying whole rows of columns at once. Longer texts go through matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from faithcheck_circuits.transformer.columns import Columns, Queries

SHORT = 22
"""Up to this many positions the products are taken in rows of columns."""
_FLOATS = 1 << 18
"""About how many floats a step over some of the heads may hold: what fits in a core's cache."""


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sink: Tensor,
    columns: Columns,
    queries: Sequence[Queries],
) -> tuple[Tensor, list[Tensor]]:
    """The mixed values float[member, head, channel, query], and of each part of the queries its pattern.

    q: float[member, head, channel, query]; k and v: float[member, head, channel, column]; sink: float[member or 1,
    head], the logit of a key whose value is 0. A pattern is float[member, head, key + 1, query], the sink last; on
    short prompts it leaves no graph.
    """
    prompts, length = columns.place.shape
    if columns.needed is None and (length > SHORT or q.device.type != "cpu" or sink.requires_grad):
        return _by_matrices(q, k, v, sink, prompts, queries)
    members = max(map(len, (q, k, v, sink)))
    q, k, v, sink = (t.expand(members, *t.shape[1:]) for t in (q, k, v, sink))
    mixed, *patterns = _Rows.apply(q, k, v, sink, queries)
    return mixed, patterns


def _by_matrices(
    q: Tensor, k: Tensor, v: Tensor, sink: Tensor, prompts: int, queries: Sequence[Queries]
) -> tuple[Tensor, list[Tensor]]:
    """Columns are positions by prompts; the queries are all of them, or one of each prompt."""
    q, k, v = (t.unflatten(-1, (-1, prompts)) for t in (q, k, v))
    scores = torch.einsum("mhcqp,mhckp->mphqk", q, k) / math.sqrt(q.shape[2])
    key = torch.arange(k.shape[3], device=k.device)
    seen = (key <= key[:, None])[None, None] if queries[0].seen is None else queries[0].seen.transpose(1, 2)[:, :, None]
    scores = scores.masked_fill(~seen[:, :, None], -torch.inf)
    column = sink[:, None, :, None, None].expand(*scores.shape[:-1], 1)
    pattern = torch.cat([scores, column], -1).softmax(-1)
    mixed = torch.einsum("mphqk,mhckp->mhcqp", pattern[..., :-1], v).flatten(-2)
    whole = pattern.permute(0, 2, 4, 3, 1)
    if queries[0].seen is not None:
        return mixed, [whole.flatten(-2)]
    return mixed, [torch.cat([whole[:, :, : pos + 1, pos], whole[:, :, -1:, pos]], 2) for pos in range(whole.shape[3])]


class _Rows(torch.autograd.Function):
    """Some heads at a time, every product a multiplication of rows of columns. The sinks get no gradient."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, sink: Tensor, queries: Sequence[Queries]
    ) -> tuple[Tensor, ...]:
        mixed, patterns = mix(q, k, v, sink, queries)
        ctx.save_for_backward(q, k, v, *patterns)
        ctx.queries = queries
        ctx.mark_non_differentiable(*patterns)
        return mixed, *patterns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *patterns = ctx.saved_tensors
        return *mix_backward(grads[0], q, k, v, patterns, ctx.queries), None, None


def mix(q: Tensor, k: Tensor, v: Tensor, sink: Tensor, queries: Sequence[Queries]) -> tuple[Tensor, list[Tensor]]:
    """The mixed values and the patterns, as `attend` gives them."""
    mixed, patterns = torch.empty_like(q), [_pattern_like(q, part) for part in queries]
    for part, pattern, heads in _pieces(q, queries, patterns):
        key, value = (keys_of(t[:, heads], part) for t in (k, v))
        scores = (q[:, heads, :, None, part.at] * key).sum(2).mul_(1 / math.sqrt(q.shape[2]))
        pattern[:, heads] = _softmax(scores, sink[:, heads], part)
        mixed[:, heads, :, part.at] = (pattern[:, heads, None, :-1] * value).sum(3)
    return mixed, patterns


def mix_backward(
    by_mixed: Tensor, q: Tensor, k: Tensor, v: Tensor, patterns: Sequence[Tensor], queries: Sequence[Queries]
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients towards q, k and v."""
    by_q, by_k, by_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
    scale = 1 / math.sqrt(q.shape[2])
    for part, pattern, heads in _pieces(q, queries, patterns):
        key, value = (keys_of(t[:, heads], part) for t in (k, v))
        shares, grad = pattern[:, heads, :-1], by_mixed[:, heads, :, None, part.at]
        _add(by_v[:, heads], part, shares[:, :, None] * grad)
        towards = (grad * value).sum(2)
        towards = (towards - (shares * towards).sum(2, keepdim=True)).mul_(shares).mul_(scale)[:, :, None]
        by_q[:, heads, :, part.at] = (towards * key).sum(3)
        _add(by_k[:, heads], part, towards * q[:, heads, :, None, part.at])
    return by_q, by_k, by_v


def _pieces(
    x: Tensor, queries: Sequence[Queries], patterns: Sequence[Tensor]
) -> Iterator[tuple[Queries, Tensor, slice]]:
    """Each part of the queries with its pattern, and some heads at a time."""
    for part, pattern in zip(queries, patterns, strict=True):
        step = max(1, _FLOATS // max(1, len(x) * x.shape[2] * part.keys.numel()))
        for start in range(0, x.shape[1], step):
            yield part, pattern, slice(start, start + step)


def _pattern_like(q: Tensor, part: Queries) -> Tensor:
    return q.new_empty(*q.shape[:2], part.keys.shape[0] + 1, part.keys.shape[1])


def keys_of(x: Tensor, part: Queries) -> Tensor:
    """float[member, head, channel, key, query] of float[member, head, channel, column]."""
    if part.leading:
        return x[..., : part.keys.numel()].unflatten(-1, part.keys.shape)
    return x.index_select(-1, part.keys.flatten()).unflatten(-1, part.keys.shape)


def _add(into: Tensor, part: Queries, x: Tensor) -> None:
    """Add float[member, head, channel, key, query] to the columns that the keys are."""
    if part.leading:
        into[..., : part.keys.numel()] += x.flatten(-2)
    else:
        into.index_add_(-1, part.keys.flatten(), x.flatten(-2))


def with_sink(scores: Tensor, sink: Tensor) -> Tensor:
    """The softmax over the keys of float[member, head, key, query], and last the sink, float[member, head]."""
    column = sink[:, :, None, None].expand(*scores.shape[:2], 1, scores.shape[3])
    return torch.cat([scores, column], 2).softmax(2)


def _softmax(scores: Tensor, sink: Tensor, part: Queries) -> Tensor:
    """`with_sink`, over the keys that are seen."""
    if part.seen is not None:
        scores = scores.masked_fill_(~part.seen[:, None], -torch.inf)
    return with_sink(scores, sink)
