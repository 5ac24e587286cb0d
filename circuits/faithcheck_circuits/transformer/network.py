"""The whole transformer behind the steps that `forward` is composed of.

A network knows how tokens become a residual stream, how a site reads it through a norm, how one site is computed from
another, how a q, k or v site falls into heads, how a site is written back, and what the stream's logits are. `forward`
composes these steps and does not know whether the network is whole or restricted (`restricted.py`).

Inside, activations are float[member, node, column] (`columns.py`): nodes are rows, which are picked, added and
multiplied as wholes, and softmax and attention run along the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from faithcheck_circuits.transformer.columns import at_columns
from faithcheck_circuits.transformer.config import SOURCE, Config
from faithcheck_circuits.transformer.derived import Derived
from faithcheck_circuits.transformer.embedding import Embedding
from faithcheck_circuits.transformer.matrix import Matrix

if TYPE_CHECKING:
    from faithcheck_circuits.transformer.prepared import Prepared


SPARSE = 4
"""A network is sparse where at most one in so many weights of its matrices is not 0."""
FEW = 1 << 20
"""Or where these have at most so many entries."""


@dataclass(frozen=True)
class Stream:
    """The residual stream: `x` float[member, channel, column]; `rest` float[member, column], the sum of squares of
    channels that `x` leaves out, None where it has all; `tokens` int[member or 1, column].
    """

    x: Tensor
    rest: Tensor | None
    tokens: Tensor

    def square(self) -> Tensor:
        """The sum of squares over all channels, float[member, column]."""
        square = self.x.square().sum(1)
        return square if self.rest is None else square + self.rest

    def at(self, columns: Tensor) -> Stream:
        """Some columns, int[query] or int[member, query]."""
        rest = None if self.rest is None else at_columns(self.rest, columns)
        return Stream(at_columns(self.x, columns), rest, at_columns(self.tokens, columns))

    def plus(self, x: Tensor) -> Stream:
        return Stream(self.x + x, self.rest, self.tokens)


class Network:
    """The whole model."""

    def __init__(self, config: Config, tensors: Mapping[str, Tensor]):
        self.config, self._tensors = config, dict(tensors)
        self.embedding = Embedding(self.tensors)
        self._suits_loops = Derived(partial(_suits_loops, config, self.tensors), self.tensors, *self.tensors)
        prepared = partial(_prepared, config, self.tensors, self.embedding)
        self._prepared = Derived(prepared, self.tensors, *self.tensors)
        self._matrices = {
            site: Matrix(self.tensors, site)
            for site in (f"{layer}.{kind}" for layer in range(config.layers) for kind in SOURCE)
        }

    @property
    def tensors(self) -> dict[str, Tensor]:
        """By name; entries may be replaced, the mapping may not, for what is made from the tensors watches it."""
        return self._tensors

    @property
    def is_frozen(self) -> bool:
        """Whether no tensor wants a gradient."""
        return not any(tensor.requires_grad for tensor in self._tensors.values())

    @property
    def suits_loops(self) -> bool:
        """Whether most weights are 0, or all are few; and none is NaN or infinite: what is times 0 is left out."""
        return self._suits_loops.get()

    def stream(self, tokens: Tensor) -> Stream:
        """Of int[member or 1, column]."""
        return Stream(self.tensors["embed"][tokens].movedim(-1, 1).contiguous(), None, tokens)

    def read(self, site: str, stream: Stream, norm: str) -> Tensor:
        """The residual channels that a site after a norm reads, times the norm's gain."""
        return stream.x * self.tensors[f"{norm}.gain"][:, None]

    def select(self, site: str, x: Tensor) -> Tensor:
        """The site's nodes out of a value that covers all of them."""
        return x

    def compute(self, site: str, source: Tensor) -> Tensor:
        """The site's values before its activation function, from its source site's."""
        return self._matrices[site].times(source)

    def prepared(self) -> Prepared:
        """Its tensors as the compiled pass for masks takes them."""
        return self._prepared.get()

    def split_heads(self, site: str, x: Tensor) -> Tensor:
        """float[member, node, column] -> float[member, head, channel, column]."""
        return x.unflatten(1, (-1, self.config.d_head))

    def merge_heads(self, layer: int, z: Tensor) -> Tensor:
        """float[member, head, channel, column] -> float[member, v node, column]."""
        return z.flatten(1, 2)

    def sink(self, layer: int) -> Tensor:
        """float[member or 1, head]: the sink's logit of each head that is computed."""
        return self.tensors[f"{layer}.sink"][None]

    def write(self, site: str, stream: Stream, x: Tensor) -> Stream:
        """The residual stream after the site's values are added to it."""
        return stream.plus(x)

    def logits(self, stream: Stream, vocab: Tensor | None, scale: Tensor) -> Tensor:
        """float[member, column, token]; scale: float[member, 1, column], what the last norm divides by."""
        unembed = self.tensors["unembed"] if vocab is None else self.tensors["unembed"][vocab]
        x = (stream.x * self.tensors["ln_f.gain"][:, None]).transpose(1, 2)
        return F.linear(x.flatten(0, 1), unembed).unflatten(0, x.shape[:2]) / scale.transpose(1, 2)


def _suits_loops(config: Config, tensors: Mapping[str, Tensor], *_: Tensor) -> bool:
    layers = range(config.layers)
    weights = [tensors[f"{layer}.{kind}.weight"] for layer in layers for kind in SOURCE]
    entries = sum(weight.numel() for weight in weights)
    if entries > FEW and SPARSE * sum(int(torch.count_nonzero(weight)) for weight in weights) > entries:
        return False
    sinks = [tensors[f"{layer}.sink"] for layer in layers]  # which may be -inf
    others = [tensor for name, tensor in tensors.items() if not name.endswith(".sink")]
    return all(bool((sink < torch.inf).all()) for sink in sinks) and all(bool(t.isfinite().all()) for t in others)


def _prepared(config: Config, tensors: Mapping[str, Tensor], embedding: Embedding, *_: Tensor) -> Prepared:
    from faithcheck_circuits.transformer.prepared import whole

    return whole(config, tensors, embedding)
