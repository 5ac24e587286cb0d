"""Causal attention with a sink, for activations float[member, node, pos, prompt].

Prompts of tasks are a few tokens long: products of 7 x 16 matrices, thousands of them, for which a library's matrix
product is many times slower than multiplying whole rows of prompts at once. Longer texts go through matrix products.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SHORT = 512
"""Up to this many pairs of a query and a key the products are taken prompt by prompt in rows."""
_FLOATS = 1 << 18
"""About how many floats a step over some of the heads may hold: what fits in a core's cache."""


def attend(
    q: Tensor, k: Tensor, v: Tensor, sink: Tensor, positions: Tensor | None, still: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The mixed values float[member, head, channel, query, prompt], and the pattern.

    q: float[member, head, channel, query, prompt]; k and v the same with a key for a query; sink: float[member or 1,
    head], the logit of a key whose value is 0. positions: int[prompt] or int[member, prompt], the one query's position,
    or None where every position is a query. still: int[head], heads whose values are all 0, and the queries or the keys
    too. The pattern is float[member, head, key + 1, query, prompt], the sink last;
    on short prompts it leaves no graph.
    """
    seen = _seen(k, positions)
    if q.shape[3] * k.shape[3] > SHORT:
        return _by_matrices(q, k, v, sink, seen)
    mixed, pattern = _Rows.apply(q, k, v, sink, seen, still)
    return mixed, pattern


def _seen(k: Tensor, positions: Tensor | None) -> Tensor:
    """bool[member or 1, 1, key, query, prompt or 1]: whether the query sees the key."""
    key = torch.arange(k.shape[3], device=k.device)
    if positions is None:
        return (key[:, None] <= key)[None, None, :, :, None]
    return key[:, None, None] <= torch.atleast_2d(positions)[:, None, None, None, :]


def _by_matrices(q: Tensor, k: Tensor, v: Tensor, sink: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    scores = torch.einsum("mhcqp,mhckp->mphqk", q, k) / math.sqrt(q.shape[2])
    scores = scores.masked_fill(~seen.permute(0, 4, 1, 3, 2), -torch.inf)
    column = sink[:, None, :, None, None].expand(*scores.shape[:-1], 1)
    pattern = torch.cat([scores, column], -1).softmax(-1)
    mixed = torch.einsum("mphqk,mhckp->mhcqp", pattern[..., :-1], v)
    return mixed, pattern.permute(0, 2, 4, 3, 1)


class _Rows(torch.autograd.Function):
    """Some heads at a time, every product a multiplication of rows of prompts.

    A still head mixes nothing and attends evenly; only its values have a gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, sink: Tensor, seen: Tensor, still: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        members = max(map(len, (q, k, v, sink)))
        q, k, v, sink = (t.expand(members, *t.shape[1:]) for t in (q, k, v, sink))
        mixed, pattern = torch.zeros_like(q), q.new_empty(members, q.shape[1], k.shape[3] + 1, *q.shape[3:])
        if still is not None:
            even = q.new_zeros(members, len(still), *k.shape[3:4], *q.shape[3:]).masked_fill_(~seen, -torch.inf)
            pattern[:, still] = _softmax(even, sink[:, still])
        ctx.parts = list(_parts(q, k, still))
        for some in ctx.parts:
            scores = (q[:, some, :, None] * k[:, some, :, :, None]).sum(2).mul_(1 / math.sqrt(q.shape[2]))
            pattern[:, some] = _softmax(scores.masked_fill_(~seen, -torch.inf), sink[:, some])
            mixed[:, some] = (pattern[:, some, None, :-1] * v[:, some, :, :, None]).sum(3)
        ctx.save_for_backward(q, k, v, pattern, still)
        ctx.mark_non_differentiable(pattern)
        return mixed, pattern

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, pattern, still = ctx.saved_tensors
        scale, mixed = 1 / math.sqrt(q.shape[2]), grads[0]
        by_q, by_k, by_v = torch.zeros_like(q), torch.zeros_like(k), torch.empty_like(v)
        for some in [] if still is None else still.split(_heads_at_once(q, k)):
            by_v[:, some] = (pattern[:, some, None, :-1] * mixed[:, some, :, None]).sum(4)
        for some in ctx.parts:
            shares, grad = pattern[:, some, :-1], mixed[:, some, :, None]
            by_v[:, some] = (shares[:, :, None] * grad).sum(4)
            towards = (grad * v[:, some, :, :, None]).sum(2)
            towards = (towards - (shares * towards).sum(2, keepdim=True)).mul_(shares).mul_(scale)
            by_q[:, some] = (towards[:, :, None] * k[:, some, :, :, None]).sum(3)
            by_k[:, some] = (towards[:, :, None] * q[:, some, :, None]).sum(4)
        return by_q, by_k, by_v, None, None, None


def _softmax(scores: Tensor, sink: Tensor) -> Tensor:
    """Over the keys of float[member, head, key, query, prompt] and the sink, float[member, head], as one more key."""
    column = sink[:, :, None, None, None].expand(*scores.shape[:2], 1, *scores.shape[3:])
    return torch.cat([scores, column], 2).softmax(2)


def _parts(q: Tensor, k: Tensor, still: Tensor | None) -> tuple[Tensor | slice, ...]:
    """The heads that are not still, as many at a time as fit."""
    heads, step = q.shape[1], _heads_at_once(q, k)
    if still is None:
        return tuple(slice(start, start + step) for start in range(0, heads, step))
    busy = torch.ones(heads, dtype=torch.bool).index_fill(0, still, False)
    return busy.nonzero().flatten().split(step) if bool(busy.any()) else ()


def _heads_at_once(q: Tensor, k: Tensor) -> int:
    return max(1, _FLOATS // max(1, len(q) * q.shape[2:].numel() * k.shape[3]))
