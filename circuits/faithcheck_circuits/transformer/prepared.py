"""A network, or a part of one, as the compiled pass for masks takes it (`masked.py`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from faithcheck.model import HEADED, SITE_KINDS
from faithcheck_circuits.transformer import kernels
from faithcheck_circuits.transformer.config import RESIDUAL, SOURCE, WRITTEN, Config
from faithcheck_circuits.transformer.embedding import Embedding
from faithcheck_circuits.transformer.kernels import Array, CompressedSite, compressed
from faithcheck_circuits.transformer.sites import channels_of

BySite = Mapping[str, Array]


@dataclass(frozen=True)
class Nodes:
    """Of a site. `has_mask`: bool[node]; the mask in slot `slot[i]` is that of `node[i]`. What is in no slot there
    changes nothing."""

    has_mask: Array
    slot: Array | slice
    node: Array | slice

    def spread(self, mask: Array) -> Array:
        """float[node] of float[slot]."""
        found = np.zeros(len(self.has_mask), mask.dtype)
        found[self.node] = mask[self.slot]
        return found


@dataclass(frozen=True)
class Layer:
    """By kind of site: the `sites` that are computed from another, and the `nodes` of all. `sinks`: float[head].

    Heads are of as many q, k and v nodes each, a q and a k node at the same place. `scale`: what scores are times.
    """

    sites: Mapping[str, CompressedSite]
    nodes: Mapping[str, Nodes]
    sinks: Array
    scale: float


@dataclass(frozen=True)
class Prepared:
    """`gains`: float[channel] of each norm. `embed`: float[channel of the whole network, token], of which this one has
    `channels`; `rest`: float[token], the sum of squares of the others, None where there are none.

    `unembed`: over [token, channel], the unembedding times the last norm's gain; where channels are left out, only of
    those that something is added to.
    """

    config: Config
    layers: Sequence[Layer]
    gains: BySite
    embed: Array
    channels: Array
    rest: Array | None
    unembed: CompressedSite

    def unembed_of(self, vocab: Array) -> CompressedSite:
        """For some of the tokens."""
        tokens, every = np.arange(len(self.unembed.bias))[vocab], np.arange(len(self.channels))
        return kernels.part(self.unembed, tokens, every, len(every))


def whole(config: Config, tensors: Mapping[str, Tensor], embedding: Embedding) -> Prepared:
    arrays = {name: np.ascontiguousarray(tensor.detach().numpy()) for name, tensor in tensors.items()}
    unembed = arrays["unembed"] * arrays["ln_f.gain"]
    nodes = {kind: Nodes(np.ones(config.size(kind), bool), slice(None), slice(None)) for kind in SITE_KINDS}

    def layer(i: int) -> Layer:
        sites = {kind: _site(arrays[f"{i}.{kind}.weight"], arrays[f"{i}.{kind}.bias"]) for kind in SOURCE}
        return Layer(sites, nodes, arrays[f"{i}.sink"], 1 / math.sqrt(config.d_head))

    return Prepared(
        config,
        [layer(i) for i in range(config.layers)],
        {norm: arrays[f"{norm}.gain"] for norm in config.norms()},
        embedding.rows.get().detach().numpy(),
        np.arange(config.d_model),
        None,
        _site(unembed, np.zeros(len(unembed), unembed.dtype)),
    )


def _site(weight: Array, bias: Array) -> CompressedSite:
    return CompressedSite(compressed(weight), compressed(weight.T), bias)


def parts(network: Prepared, embedding: Embedding, keep: Mapping[str, Tensor]) -> list[Prepared]:
    """Of a whole network, each member's kept nodes, {site: bool[member, node]}, in the channels that they read or
    write."""
    used, written = channels_of(keep, RESIDUAL), channels_of(keep, WRITTEN)
    rest = embedding.rest(used).detach().numpy()
    return [
        _part(network, {site: kept[i].numpy() for site, kept in keep.items()}, used[i].numpy(), written[i].numpy(), row)
        for i, row in enumerate(rest)
    ]


def _part(network: Prepared, keep: BySite, used: Array, written: Array, rest: Array) -> Prepared:
    channels = np.flatnonzero(used)
    added = _places(np.where(written[channels], channels, -1), len(used))
    return replace(
        network,
        layers=[_layer(i, layer, keep, used) for i, layer in enumerate(network.layers)],
        gains={norm: gain[channels] for norm, gain in network.gains.items()},
        channels=channels,
        rest=rest,
        unembed=kernels.part(network.unembed, np.arange(len(network.unembed.bias)), added, len(channels)),
    )


def _layer(i: int, layer: Layer, keep: BySite, used: Array) -> Layer:
    """There are places for the channels that are used, the kept neurons, and in heads that have a kept v node."""
    kept = {kind: keep[f"{i}.{kind}"] for kind in SITE_KINDS}
    q, k, v = (kept[kind].reshape(len(layer.sinks), -1) for kind in HEADED)
    heads = np.flatnonzero(v.any(1))
    width = max(int((of_heads[heads]).sum(1).max(initial=0)) for of_heads in (q | k, v))
    present = dict.fromkeys(RESIDUAL, np.flatnonzero(used))
    present |= {"mlp_neuron": np.flatnonzero(kept["mlp_neuron"]), "attn_v": _in_heads(v, heads, width)}
    present |= dict.fromkeys(("attn_q", "attn_k"), _in_heads(q | k, heads, width))
    nodes = {kind: np.where(kept[kind][there], there, -1) for kind, there in present.items()}
    places = {kind: _places(nodes[kind], len(kept[kind])) for kind in SITE_KINDS}

    def site(kind: str) -> CompressedSite:
        return kernels.part(layer.sites[kind], nodes[kind], places[SOURCE[kind]], len(nodes[SOURCE[kind]]))

    def masked(kind: str) -> Nodes:
        place = places[kind][kept[kind]]
        slot = np.flatnonzero(place >= 0)
        return Nodes(nodes[kind] >= 0, slot, place[slot])

    sites, masks = {kind: site(kind) for kind in SOURCE}, {kind: masked(kind) for kind in SITE_KINDS}
    return Layer(sites, masks, layer.sinks[heads], layer.scale)


def _in_heads(kept: Array, heads: Array, width: int) -> Array:
    """Of bool[head, node] the nodes that are kept in some heads, as many in each: others come after them."""
    first: Array = np.argsort(~kept[heads], 1, kind="stable")[:, :width] + heads[:, None] * kept.shape[1]
    return first.ravel()


def _places(nodes: Array, count: int) -> Array:
    """int[node of the whole network]: its place among `nodes`, of which the negative are none; -1 where it has none."""
    found = np.full(count, -1)
    found[nodes[nodes >= 0]] = np.flatnonzero(nodes >= 0)
    return found
