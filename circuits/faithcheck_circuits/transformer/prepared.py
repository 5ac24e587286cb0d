"""A network, or a part of one, as the compiled pass for masks takes it (`masked.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from faithcheck.model import SITE_KINDS
from faithcheck_circuits.transformer import kernels
from faithcheck_circuits.transformer.config import RESIDUAL, SOURCE, WRITTEN, Config
from faithcheck_circuits.transformer.embedding import Embedding
from faithcheck_circuits.transformer.kernels import Array, CompressedSite, compressed

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
    """By kind of site: the `sites` that are computed from another, and the `nodes` of all. `sinks`: float[head]."""

    sites: Mapping[str, CompressedSite]
    nodes: Mapping[str, Nodes]
    sinks: Array


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
        every = np.arange(len(self.channels))
        return kernels.part(self.unembed, vocab, every, len(every))


def whole(config: Config, tensors: Mapping[str, Tensor], embedding: Embedding) -> Prepared:
    arrays = {name: np.ascontiguousarray(tensor.detach().numpy()) for name, tensor in tensors.items()}
    unembed = arrays["unembed"] * arrays["ln_f.gain"]
    nodes = {kind: Nodes(np.ones(config.size(kind), bool), slice(None), slice(None)) for kind in SITE_KINDS}

    def layer(i: int) -> Layer:
        sites = {kind: _site(arrays[f"{i}.{kind}.weight"], arrays[f"{i}.{kind}.bias"]) for kind in SOURCE}
        return Layer(sites, nodes, arrays[f"{i}.sink"])

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
    """Of a whole network, each member's kept nodes, {site: bool[member, node]}."""
    arrays = {site: kept.numpy() for site, kept in keep.items()}
    members = max(map(len, arrays.values()))
    return [part(network, embedding, {site: kept[i] for site, kept in arrays.items()}) for i in range(members)]


def part(network: Prepared, embedding: Embedding, keep: BySite) -> Prepared:
    """The kept nodes of a whole network, {site: bool[node]}, in the channels that they read or write."""
    used = _channels(keep, RESIDUAL)
    channels, squares = np.flatnonzero(used), embedding.squares.get().detach().numpy()
    added = _places(channels, _channels(keep, WRITTEN))
    return replace(
        network,
        layers=[_layer(i, layer, keep, used) for i, layer in enumerate(network.layers)],
        gains={norm: gain[channels] for norm, gain in network.gains.items()},
        channels=channels,
        rest=(~used).astype(squares.dtype) @ squares,
        unembed=kernels.part(network.unembed, np.arange(len(network.unembed.bias)), added, len(channels)),
    )


def _channels(keep: BySite, kinds: Sequence[str]) -> Array:
    """bool[channel]: those of kept nodes."""
    found: Array = np.any([kept for site, kept in keep.items() if site.split(".")[1] in kinds], 0)
    return found


def _layer(i: int, layer: Layer, keep: BySite, used: Array) -> Layer:
    """Channels that are not used have no place, nor neurons that are not kept, nor the heads without a kept v node."""
    kept = {kind: keep[f"{i}.{kind}"] for kind in SITE_KINDS}
    heads = np.any(kept["attn_v"].reshape(len(layer.sinks), -1), 1)
    of_heads = np.repeat(heads, len(used) // len(heads))
    present = dict.fromkeys(SITE_KINDS, of_heads) | dict.fromkeys(RESIDUAL, used) | {"mlp_neuron": kept["mlp_neuron"]}
    nodes = {kind: np.flatnonzero(there) for kind, there in present.items()}
    places = {kind: _places(nodes[kind], on) for kind, on in kept.items()}

    def site(kind: str) -> CompressedSite:
        rows, source = np.where(kept[kind][nodes[kind]], nodes[kind], -1), SOURCE[kind]
        return kernels.part(layer.sites[kind], rows, places[source], len(nodes[source]))

    def masked(kind: str) -> Nodes:
        place = places[kind][kept[kind]]
        slot = np.flatnonzero(place >= 0)
        return Nodes(kept[kind][nodes[kind]], slot, place[slot])

    return Layer({kind: site(kind) for kind in SOURCE}, {kind: masked(kind) for kind in SITE_KINDS}, layer.sinks[heads])


def _places(nodes: Array, kept: Array) -> Array:
    """int[node of the whole network]: its place among `nodes`, -1 where it has none or is not kept."""
    found = np.full(len(kept), -1)
    found[nodes] = np.where(kept[nodes], np.arange(len(nodes)), -1)
    return found
