"""The attention layer of a run under hard masks, with the gradients of the masks written out (`masked_layers.py`).

A head of a member is busy where a v node is on, or a q node and its k node. The others attend evenly and mix nothing:
for the gradients of their v nodes the values are summed before they are computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from faithcheck_circuits.transformer.block import Weight
from faithcheck_circuits.transformer.masked_layers import Mask, Read, Write, by_member
from faithcheck_circuits.transformer.mixing import AtColumns, AtTokens


class Heads:
    """Some heads of each member, bool[member, head]: `rows` int[row] of their nodes in a q, k or v site, `nodes` the
    same for each member, `sinks` float[head] of them all."""

    def __init__(self, chosen: Tensor, sink: Tensor, d_head: int):
        every = chosen.repeat_interleave(d_head, 1)
        self.rows = every.flatten().nonzero().flatten()
        self.nodes = by_member(self.rows, every.shape)
        self.sinks = sink.expand(len(chosen), -1)[chosen]


class Projection:
    """A q, k or v site: the nodes of busy heads, and of these the ones that are on."""

    def __init__(self, weight: Weight, bias: Tensor, mask: Mask, busy: Heads):
        self.weight, self._bias, self._busy = weight, bias, busy
        self.size = mask.values.numel()
        self.mask = mask.values.flatten().index_select(0, busy.rows)[:, None]
        self.place = self.mask.flatten().nonzero().flatten()
        """int[on], among the rows of busy heads."""
        self._kept = self.mask.index_select(0, self.place)
        self.on = by_member(busy.rows.index_select(0, self.place), mask.values.shape)

    def values(self, heads: Heads, columns: Sequence[Tensor], read: Tensor, times: Tensor | float = 1.0) -> Tensor:
        """float[row, column] of some heads, before the mask; the bias counts this many times."""
        bias = self._bias.index_select(0, torch.cat(heads.nodes))[:, None]
        return self.weight.times(heads.nodes, columns, read).add_(bias * times)

    def on_rows(self, by: Tensor) -> Tensor:
        """The gradients that go on from those towards the masked rows of busy heads, float[on, column]."""
        return by.index_select(0, self.place).mul_(self._kept)

    def by_mask(self, values: Tensor, by: Tensor) -> Tensor:
        """float[node of all members], 0 in heads that are not busy."""
        return values.new_zeros(self.size).index_copy_(0, self._busy.rows, (values * by).sum(1))


class Attention:
    """`weights`, `biases` and `masks` of q, k and v; `sink`: float[head]."""

    def __init__(
        self,
        read: Read,
        weights: Sequence[Weight],
        biases: Sequence[Tensor],
        masks: Sequence[Mask],
        sink: Tensor,
        write: Write,
    ):
        self._read, self._write = read, write
        self._shape = masks[2].values.shape
        self._d_head = self._shape[1] // len(sink)
        q, k, v = ((mask.values != 0).unflatten(1, (-1, self._d_head)) for mask in masks)
        busy = (v | (q & k)).any(2)
        self._busy, self._idle = (Heads(some, sink, self._d_head) for some in (busy, ~busy))
        self._qkv = [
            Projection(weight, bias, mask, self._busy)
            for weight, bias, mask in zip(weights, biases, masks, strict=True)
        ]

    def forward(self, x: Tensor, mixing: AtColumns | AtTokens) -> None:
        """What heads mix of the stream x at the keys' columns, kept for `write`."""
        self._mixing, on = mixing, self._read.mask.on
        self._in = self._read.forward(x)
        inputs = (mixing.at_queries(self._in), self._in, self._in)
        self._values = [p.values(self._busy, on, read) for p, read in zip(self._qkv, inputs, strict=True)]
        self._mixed = mixing.forward(self._by_head(), self._busy.sinks).flatten(0, 1)

    def write(self, x: Tensor) -> None:
        """Add the output to the stream at the queries' columns."""
        self._write.forward(self._mixed.index_select(0, self._qkv[2].place), x)

    def backward(self, by_x: Tensor) -> list[Tensor]:
        """The gradients of the masks of in, q, k, v and out, float[member, node]. by_x is at the queries' columns."""
        by_out = self._write.by_mask(by_x)
        by_v_on, by_v_mask = self._write.backward(by_x, self._every_mixed())
        q, k, v = self._qkv
        by_mixed = torch.zeros_like(self._mixed).index_copy_(0, v.place, by_v_on)
        by_heads = self._mixing.backward(self._heads(by_mixed), self._by_head())
        by_q, by_k, by_v = (by.flatten(0, 1) for by in by_heads)
        by_q_mask, by_k_mask = (
            p.by_mask(values, by).view(self._shape)
            for p, values, by in zip((q, k), self._values[:2], (by_q, by_k), strict=True)
        )
        self._by_on = [self._mixing.wide(q.on_rows(by_q)), k.on_rows(by_k), by_v.index_select(0, v.place)]
        by_in = torch.zeros_like(by_out)
        for p, by in zip(self._qkv, self._by_on, strict=True):
            by_in += self._read.by_mask(p.weight, p.on, by)
        return [by_in, by_q_mask, by_k_mask, by_v_mask, by_out]

    def by_stream(self, by_x: Tensor) -> Tensor:
        """After `backward`: the gradient of the stream before the layer, from the one after it."""
        by_read = torch.zeros_like(self._in)
        for p, by in zip(self._qkv, self._by_on, strict=True):
            by_read += p.weight.back(p.on, self._read.mask.on, by)
        wide = self._mixing.wide(by_x)
        into = wide.clone() if wide is by_x else wide
        self._read.backward(by_read, into)
        return into

    def _heads(self, x: Tensor) -> Tensor:
        """float[head, channel, column]."""
        return x.view(-1, self._d_head, x.shape[1])

    def _by_head(self) -> tuple[Tensor, Tensor, Tensor]:
        """q and k under their masks; v before its own, which is left to the mixed values."""
        q, k, v = self._values
        return self._heads(q * self._qkv[0].mask), self._heads(k * self._qkv[1].mask), self._heads(v)

    def _every_mixed(self) -> Tensor:
        """What heads would mix were all v nodes on, float[v node, query]. Idle ones mix evenly, the values' sum over
        the number of keys and the sink's share; and the sum of values is W_v times the sum of what it reads."""
        v, width = self._qkv[2], self._mixed.shape[1]
        every = self._mixed.new_zeros(v.size, width).index_copy_(0, self._busy.rows, self._mixed)
        if len(self._idle.rows):
            sums, count = self._mixing.sums(self._in)
            values = v.values(self._idle, self._read.mask.on, sums, count)
            share = 1 / (count + self._idle.sinks.exp()[:, None])
            self._heads(values).mul_(share[:, None])
            every.index_copy_(0, self._idle.rows, values)
        return every
