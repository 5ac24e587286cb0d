"""Causal attention with a sink, for activations float[member, head, channel, column].

Prompts of tasks are a few tokens long: products of 7 x 16 matrices, thousands of them, for which a library's matrix
product is many times slower than a compiled loop over each query's keys. Longer texts go through matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from faithcheck_circuits.transformer.columns import Columns, Queries

SHORT = 22
"""Up to this many positions prompts go through the compiled loop."""
_WORTH = 1 << 20
"""Multiplications from which on heads are shared out to threads."""


def attend(q: Tensor, k: Tensor, v: Tensor, sink: Tensor, columns: Columns, queries: Queries) -> tuple[Tensor, Tensor]:
    """The mixed values float[member, head, channel, query], and the pattern float[member, head, query, key + 1], the
    sink last; in the compiled loop it leaves no graph.

    q: float[member, head, channel, query]; k and v: float[member, head, channel, column]; sink: float[member or 1,
    head], the logit of a key whose value is 0.
    """
    prompts, length = columns.place.shape
    if columns.needed is None and (length > SHORT or q.device.type != "cpu" or sink.requires_grad):
        return _by_matrices(q, k, v, sink, prompts, queries)
    mixed, pattern = _Loop.apply(q, k, v, sink, queries)
    return mixed, pattern


def _by_matrices(
    q: Tensor, k: Tensor, v: Tensor, sink: Tensor, prompts: int, queries: Queries
) -> tuple[Tensor, Tensor]:
    """Columns are positions by prompts; the queries are all of them, or one of each prompt."""
    q, k, v, count = (t.unflatten(-1, (-1, prompts)) for t in (q, k, v, queries.count))
    scores = torch.einsum("mhcqp,mhckp->mphqk", q, k) / math.sqrt(q.shape[2])
    unseen = torch.arange(k.shape[3], device=k.device) >= count.transpose(1, 2)[:, :, None, :, None]
    scores = scores.masked_fill(unseen, -torch.inf)
    column = sink[:, None, :, None, None].expand(*scores.shape[:-1], 1)
    pattern = torch.cat([scores, column], -1).softmax(-1)
    mixed = torch.einsum("mphqk,mhckp->mhcqp", pattern[..., :-1], v).flatten(-2)
    return mixed, pattern.permute(0, 2, 3, 1, 4).flatten(2, 3)


class _Loop(torch.autograd.Function):
    """The sinks get no gradient. What the loop is not compiled for, it computes in float32."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, sink: Tensor, queries: Queries) -> tuple[Tensor, Tensor]:
        from faithcheck_circuits.transformer.kernels import mix

        ctx.dtype, (q, k, v, sink) = q.dtype, (_known(t) for t in (q, k, v, sink))
        ctx.members = [len(q), len(k), len(v)]
        heads, count = max(map(len, (q, k, v, sink, queries.count))), len(queries.keys)
        pattern = q.new_empty(heads, q.shape[1], count, queries.keys.shape[1] + 1)
        mixed = q.new_empty(heads, *q.shape[1:3], count)
        _each_head(mix, (q, k, v, sink, queries.keys, queries.count), (pattern, mixed))
        ctx.save_for_backward(q, k, v, pattern, queries.keys, queries.count)
        pattern = pattern.to(ctx.dtype)
        ctx.mark_non_differentiable(pattern)
        return mixed.to(ctx.dtype), pattern

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from faithcheck_circuits.transformer.kernels import by_mix

        q, k, v, pattern, keys, count = ctx.saved_tensors
        found = tuple(t.new_empty(len(pattern), *t.shape[1:]) for t in (q, k, v))
        _each_head(by_mix, (_known(grads[0]), q, k, v, keys, count), (pattern, *found))
        alone = (by if n > 1 else by.sum(0, keepdim=True) for by, n in zip(found, ctx.members, strict=True))
        return *(by.to(ctx.dtype) for by in alone), None, None


def _known(x: Tensor) -> Tensor:
    """What a loop is compiled for."""
    return (x if x.dtype in (torch.float32, torch.float64) else x.float()).detach().contiguous()


def _each_head(loop: Callable[..., None], given: tuple[Tensor, ...], found: tuple[Tensor, ...]) -> None:
    """Run a loop over the heads of all members, [member, head, ...] as `found` is, some in each of torch's threads
    where that pays."""
    before, after = ([t.numpy() for t in some] for some in (given, found))
    heads = found[0].shape[0] * found[0].shape[1]
    parts = torch.get_num_threads() if found[0].numel() * found[1].shape[2] > _WORTH else 1
    ends = [heads * part // parts for part in range(parts + 1)]
    if parts == 1:
        loop(*before, 0, heads, *after)
        return
    with ThreadPoolExecutor(parts) as threads:
        list(threads.map(lambda first, last: loop(*before, first, last, *after), ends[:-1], ends[1:]))
