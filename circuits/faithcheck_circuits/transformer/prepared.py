"""A network's tensors as the compiled pass for masks takes them (`masked.py`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from faithcheck.model import SITE_KINDS
from faithcheck_circuits.transformer import kernels
from faithcheck_circuits.transformer.config import SOURCE, Config
from faithcheck_circuits.transformer.kernels import Array, CompressedSite, compressed


class Prepared:
    """`sites`: for each layer, by kind, those that are computed from another. `sinks`: float[head] of each layer.

    `gains`: float[channel] of each norm. `embed`: float[token, channel]. `every`: bool[node] of every site, true.
    """

    def __init__(self, config: Config, tensors: Mapping[str, Tensor]):
        arrays = {name: np.ascontiguousarray(tensor.detach().numpy()) for name, tensor in tensors.items()}
        layers = range(config.layers)
        self.config = config
        self.sites = [{kind: _site(arrays, f"{layer}.{kind}") for kind in SOURCE} for layer in layers]
        self.sinks = [arrays[f"{layer}.sink"] for layer in layers]
        self.gains = {norm: arrays[f"{norm}.gain"] for norm in config.norms()}
        self.embed = tensors["embed"].detach()
        self.unembedding = Unembedding(arrays["unembed"] * arrays["ln_f.gain"], arrays.get("bigram"))
        self.every = {f"{layer}.{kind}": np.ones(config.size(kind), bool) for layer in layers for kind in SITE_KINDS}


class Unembedding:
    """From what the last norm gives to logits. weight: float[token, channel], the unembedding times the norm's gain;
    bigram: float[token, token], or None."""

    def __init__(self, weight: Array, bigram: Array | None):
        self._weight, self._bigram = weight, bigram
        self._rows, self._columns = compressed(weight), compressed(weight.T)

    def of(self, vocab: Array) -> Unembedding:
        """For some of the tokens."""
        return Unembedding(self._weight[vocab], None if self._bigram is None else self._bigram[:, vocab])

    def forward(self, x: Array, tokens: Array) -> Array:
        """Logits float[query, token], of float[channel, query] and the token of each query."""
        logits: Array = kernels.product(self._rows, x).T
        return logits if self._bigram is None else logits + self._bigram[tokens]

    def backward(self, by_logits: Array) -> Array:
        """The gradient float[channel, query], of float[query, token]."""
        found: Array = kernels.product(self._columns, np.ascontiguousarray(by_logits.T))
        return found


def _site(arrays: Mapping[str, Array], site: str) -> CompressedSite:
    weight = arrays[f"{site}.weight"]
    return CompressedSite(compressed(weight), compressed(weight.T), arrays[f"{site}.bias"])
