"""The layers of one member's run under masks, with the gradients of the masks written out.

Forward, only what is on is read. Backward, every node gets its gradient, on or off: of y = m z it is the sum over the
columns of z times the gradient towards y. So a node that is off is computed where its own gradient may differ from 0,
and nowhere else: where a node that is on reads it.

Activations are float[node, column] (`columns.py`); `by_...` is the gradient towards it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faithcheck.model import HEADED
from faithcheck_circuits.transformer import kernels
from faithcheck_circuits.transformer.kernels import Array, CompressedSite, Keys
from faithcheck_circuits.transformer.prepared import Layer

_NO_SLOPE = {np.dtype(kind): np.empty((0, 0), kind) for kind in ("float32", "float64")}


@dataclass(frozen=True)
class Norm:
    """RMSNorm: `gain` [channel]; `inverse` [column], one over what it divides by; `share`, one over the number of
    channels that this is a mean over, 0 where it is given."""

    gain: Array
    inverse: Array
    share: float


class Read:
    """A site that reads the stream `x` through a norm; `values` before its mask, only rows that are on."""

    def __init__(self, x: Array, norm: Norm, mask: Array, asked: Array):
        self._x, self._norm, self.mask, self._asked = x, norm, mask, asked
        self.values = kernels.read(x, norm.inverse, norm.gain, mask)

    def backward(self, readers: Sequence[tuple[CompressedSite, Array, Array, Array]], into: Array) -> Array:
        """The gradient of the mask; that of the stream is added to `into`, unless it is empty. readers: each site that
        reads this one, its nodes that pass a gradient on (1, else 0), where their rows are, and these gradients."""
        norm, by = self._norm, np.zeros_like(self._x)
        for reader in readers:
            kernels.by_inputs(*reader, self._asked, by)
        return kernels.by_read(by, self._x, norm.inverse, norm.share, norm.gain, self.mask, self._asked, into)


class Attention:
    """Reads a stream at the columns of its keys, writes one at those of its queries. `at`: the columns that q is read
    at, None for all of them. masks: float[node] of each kind of site."""

    def __init__(self, layer: Layer, masks: Mapping[str, Array], keys: Keys, at: Array | None):
        self._sites, self._nodes, self._masks = layer.sites, layer.nodes, masks
        self._sinks, self._scale, self._keys, self._at = layer.sinks, layer.scale, keys, at
        self._qkv = tuple(masks[kind] for kind in HEADED)

    def forward(self, x: Array, norm: Norm, into: Array) -> None:
        masks, nodes, out = self._masks, self._nodes, self._sites["attn_out"]
        self._read = Read(x, norm, masks["attn_in"], nodes["attn_in"].has_mask)
        source = self._read.values
        wanted = kernels.needed(out.weight, masks["attn_out"], masks["attn_v"], nodes["attn_v"].has_mask)
        self._mixed, self._heads = kernels.attend(
            tuple(self._sites[kind] for kind in HEADED),
            self._qkv,
            tuple(nodes[kind].has_mask for kind in HEADED),
            masks["attn_in"],
            source,
            source if self._at is None else np.take(source, self._at, 1),
            wanted,
            self._sinks,
            self._scale,
            self._keys,
        )
        self._place = np.where(wanted, np.arange(len(wanted)), -1)
        kernels.write(out, masks["attn_out"], masks["attn_v"], self._place, self._mixed, into)

    def backward(self, by_x: Array, into: Array) -> dict[str, Array]:
        """The gradients of the masks; that of the stream that it reads is added to `into`, unless it is empty."""
        masks, out = self._masks, self._sites["attn_out"]
        by_out, by_v_mask, by_mixed = kernels.by_write(
            out,
            masks["attn_out"],
            self._nodes["attn_out"].has_mask,
            masks["attn_v"],
            self._place,
            self._mixed,
            _NO_SLOPE[by_x.dtype],
            by_x,
        )
        by_q_mask, by_k_mask, by_q, by_k, by_v, scored = kernels.by_attend(
            by_mixed, self._qkv, self._heads, self._scale, self._keys
        )
        if self._at is not None:
            by_q = kernels.spread(by_q, self._at, by_k.shape[1])
        every, on = np.arange(len(scored)), (masks["attn_v"] != 0).astype(by_x.dtype)
        by_in = self._read.backward(
            [
                (self._sites[kind], passing, every, by)
                for kind, passing, by in zip(HEADED, (scored, scored, on), (by_q, by_k, by_v), strict=True)
            ],
            into,
        )
        return {"attn_in": by_in, "attn_q": by_q_mask, "attn_k": by_k_mask, "attn_v": by_v_mask, "attn_out": by_out}


class Mlp:
    def __init__(self, layer: Layer, masks: Mapping[str, Array]):
        self._neuron, self._out = layer.sites["mlp_neuron"], layer.sites["mlp_out"]
        self._nodes, self._masks = layer.nodes, masks

    def forward(self, x: Array, norm: Norm, into: Array) -> None:
        masks, nodes, mask = self._masks, self._nodes, self._masks["mlp_neuron"]
        self._read = Read(x, norm, masks["mlp_in"], nodes["mlp_in"].has_mask)
        wanted = kernels.needed(self._out.weight, masks["mlp_out"], mask, nodes["mlp_neuron"].has_mask)
        computed = np.flatnonzero(wanted)
        self._place = np.full(len(mask), -1)
        self._place[computed] = np.arange(len(computed))
        self._values, self._slopes = kernels.neurons(self._neuron, computed, masks["mlp_in"], self._read.values)
        kernels.write(self._out, masks["mlp_out"], mask, self._place, self._values, into)

    def backward(self, by_x: Array, into: Array) -> dict[str, Array]:
        """The gradients of the masks; that of the stream that it reads is added to `into`."""
        masks, mask = self._masks, self._masks["mlp_neuron"]
        by_out, by_mask, by_before = kernels.by_write(
            self._out,
            masks["mlp_out"],
            self._nodes["mlp_out"].has_mask,
            mask,
            self._place,
            self._values,
            self._slopes,
            by_x,
        )
        on = (mask != 0).astype(by_x.dtype)
        by_in = self._read.backward([(self._neuron, on, self._place, by_before)], into)
        return {"mlp_in": by_in, "mlp_neuron": by_mask, "mlp_out": by_out}


class Logits:
    """Of the last stream `x`, read through a norm: `values` float[query, token]. unscaled: float[token, query], the
    logits before the norm's scale and what the token itself adds."""

    def __init__(self, unembed: CompressedSite, unscaled: Array, x: Array, norm: Norm, bigram: Array | None):
        self._weights, self._unscaled, self._x, self._norm = unembed.transposed, unscaled, x, norm
        self.values = np.empty(unscaled.shape[::-1], unscaled.dtype)
        kernels.transpose(unscaled, self.values)
        self.values *= norm.inverse[:, None]
        if bigram is not None:
            self.values += bigram

    def backward(self, by_logits: Array) -> Array:
        """The gradient towards the stream, in a part of a network only towards what is added to."""
        norm, by, by_x = self._norm, np.ascontiguousarray(by_logits.T), np.zeros_like(self._x)
        kernels.add_product(self._weights, by, by_x)
        by_x *= norm.inverse
        if norm.share:
            by_inverse = np.einsum("tq,tq->q", by, self._unscaled)
            by_x -= self._x * (by_inverse * norm.inverse**3 * by.dtype.type(norm.share))
        return by_x
