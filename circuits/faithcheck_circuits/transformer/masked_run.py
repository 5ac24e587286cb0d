"""One member's run of the network under masks over all nodes, forward and backward (`masked.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from faithcheck_circuits.transformer import kernels
from faithcheck_circuits.transformer.columns import Answers, Columns
from faithcheck_circuits.transformer.kernels import Array, Keys
from faithcheck_circuits.transformer.masked_layers import Attention, Mlp, Norm
from faithcheck_circuits.transformer.prepared import Prepared, Unembedding


class MaskedPrompts:
    """What members on the same prompts share. `scales`: float[member or 1, column or 1] of each norm that is given.

    In the first layer columns that read the same are one: `first` int[kind], a column of each.
    """

    def __init__(
        self,
        prepared: Prepared,
        unembedding: Unembedding,
        columns: Columns,
        answers: Answers,
        scales: Mapping[str, Tensor],
    ):
        self.prepared, self._unembedding, self._columns = prepared, unembedding, columns
        self._queries, self._of_prompt = answers.queries, answers.of_prompt
        self.scales = {norm: scale.numpy() for norm, scale in scales.items()}
        self.layers, self.width = len(prepared.sites), columns.tokens.shape[1]
        self.tokens = columns.tokens[0].numpy()
        self.at = answers.columns.numpy()
        self.first, self._kind = self._kinds()
        self.keys = [self._keys(layer) for layer in range(self.layers)]

    def q_at(self, layer: int) -> Array | None:
        """The columns that a layer reads q at, where these are some of those that it reads."""
        return self.at if 0 < layer == self.layers - 1 else None

    def embedded(self, columns: Array | None = None) -> Array:
        """float[channel, column]."""
        tokens = self.tokens if columns is None else self.tokens[columns]
        return self.prepared.embed.index_select(0, torch.from_numpy(tokens)).T.contiguous().numpy()

    @cached_property
    def kinds(self) -> Array:
        """What the first layer reads, float[channel, kind]."""
        return self.embedded(self.first)

    @cached_property
    def start(self) -> Array:
        """The stream that the first layer writes to."""
        return self.embedded(self.at if self.layers == 1 else None)

    def logits(self, normed: Array) -> Tensor:
        """float[prompt, token], of float[channel, query]."""
        logits = torch.from_numpy(self._unembedding.forward(normed, self.tokens[self.at]))
        return logits if self._of_prompt is None else logits.index_select(0, self._of_prompt)

    def by_normed(self, by_logits: Tensor) -> Array:
        """Backward through `logits`."""
        if self._of_prompt is not None:
            queries = by_logits.new_zeros(len(self.at), by_logits.shape[1])
            by_logits = queries.index_add_(0, self._of_prompt, by_logits)
        return self._unembedding.backward(by_logits.numpy())

    def norm(self, name: str, x: Array, member: int) -> Norm:
        gain, scale = self.prepared.gains[name], self.scales.get(name)
        if scale is None:
            return Norm(gain, kernels.inverse_norm(x, self.prepared.config.norm_eps), True)
        inverse = 1 / scale[member if len(scale) > 1 else 0]
        if len(inverse) > 1:
            columns = self._columns_of(name)
            inverse = inverse if columns is None else inverse[columns]
        return Norm(gain, np.array(np.broadcast_to(inverse, x.shape[1])), False)

    def _columns_of(self, norm: str) -> Array | None:
        if norm == "0.ln_1":
            return self.first
        return self.at if norm in ("ln_f", f"{self.layers - 1}.ln_2") else None

    def _kinds(self) -> tuple[Array, Array]:
        """A column of each kind, and the kind of every column."""
        reads, scale = self.tokens[None], self.scales.get("0.ln_1")
        if scale is not None and scale.shape[1] > 1:
            reads = np.concatenate([reads.astype(np.float64), scale.astype(np.float64)])
            _, first, kind = np.unique(reads, axis=1, return_index=True, return_inverse=True)
        else:
            _, first, kind = np.unique(self.tokens, return_index=True, return_inverse=True)
        return first, kind.reshape(-1)

    def _keys(self, layer: int) -> Keys:
        """Of the queries that a layer computes: every column, or in the last layer the answers'."""
        is_last = layer == self.layers - 1
        queries = self._queries if is_last else self._columns.queries
        keys, count = queries.keys.numpy(), queries.count[0].numpy()
        query = self.at if is_last and layer == 0 else np.arange(len(count))
        if layer == 0:
            query, keys = self._kind[query], self._kind[keys]
        return Keys(query, np.ascontiguousarray(keys), count)


class MaskedMember:
    """masks: float[node] of every site; asked: bool[node], whose masks' gradients are wanted."""

    def __init__(self, prompts: MaskedPrompts, masks: Mapping[str, Array], asked: Mapping[str, Array], member: int):
        self._prompts, self._member = prompts, member
        self._attention, self._mlp = [], []
        for layer, sites in enumerate(prompts.prepared.sites):
            own, wanted = _of_layer(masks, layer), _of_layer(asked, layer)
            sinks, keys = prompts.prepared.sinks[layer], prompts.keys[layer]
            self._attention.append(Attention(sites, own, wanted, sinks, keys, prompts.q_at(layer)))
            self._mlp.append(Mlp(sites, own, wanted))

    def forward(self) -> Tensor:
        """float[prompt, token]."""
        prompts = self._prompts
        x = prompts.kinds
        for layer, (attention, mlp) in enumerate(zip(self._attention, self._mlp, strict=True)):
            at = prompts.q_at(layer)
            into = prompts.start.copy() if layer == 0 else x.copy() if at is None else np.take(x, at, 1)
            attention.forward(x, self._norm(f"{layer}.ln_1", x), into)
            x = into.copy()
            mlp.forward(into, self._norm(f"{layer}.ln_2", into), x)
        self._last, self._final = x, self._norm("ln_f", x)
        return prompts.logits(x * self._final.inverse)

    def backward(self, by_logits: Tensor) -> dict[str, Array]:
        """The gradients of the masks, float[node] of every site."""
        found: dict[str, Array] = {}
        by_x = self._by_last(self._prompts.by_normed(by_logits))
        for layer in reversed(range(self._prompts.layers)):
            of_layer = self._mlp[layer].backward(by_x, by_x)
            at = self._prompts.q_at(layer)
            wide = by_x[:0] if layer == 0 else by_x if at is None else kernels.spread(by_x, at, self._prompts.width)
            of_layer |= self._attention[layer].backward(by_x, wide)
            found |= {f"{layer}.{kind}": by for kind, by in of_layer.items()}
            by_x = wide
        return found

    def _norm(self, name: str, x: Array) -> Norm:
        return self._prompts.norm(name, x, self._member)

    def _by_last(self, by: Array) -> Array:
        """Backward through the last norm, of which every row is read."""
        x, inverse, found = self._last, self._final.inverse, by * self._final.inverse
        return found - x * ((found * x).sum(0) * inverse**2 / len(x)) if self._final.own else found


def _of_layer(by_site: Mapping[str, Array], layer: int) -> dict[str, Array]:
    start = f"{layer}."
    return {site[len(start) :]: value for site, value in by_site.items() if site.startswith(start)}
