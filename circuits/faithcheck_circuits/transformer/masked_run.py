"""One member's run of the network under masks over all nodes, forward and backward (`masked.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from faithcheck_circuits.transformer import kernels
from faithcheck_circuits.transformer.columns import Answers, Columns
from faithcheck_circuits.transformer.kernels import Array, CompressedSite, Keys
from faithcheck_circuits.transformer.masked_layers import Attention, Logits, Mlp, Norm
from faithcheck_circuits.transformer.network import Network
from faithcheck_circuits.transformer.prepared import Prepared


class MaskedPrompts:
    """What prompts decide in a network and its parts. `scales`: float[member or 1, column or 1] of given norms.

    In the first layer columns that read the same are one: `first` int[kind], a column of each. `at`: int[query].
    """

    def __init__(
        self, network: Network, columns: Columns, answers: Answers, scales: Mapping[str, Tensor], vocab: Tensor | None
    ):
        self._network, self._columns, self._queries, self._vocab = network, columns, answers.queries, vocab
        self._of_prompt = answers.of_prompt
        self.layers, self.width = network.config.layers, columns.tokens.shape[1]
        self.scales = {norm: scale.to(network.tensors["embed"].dtype).numpy() for norm, scale in scales.items()}
        self._answered = columns.tokens[0][answers.columns]
        self.tokens = columns.tokens[0].numpy()
        if self.tokens.size and not 0 <= self.tokens.min() <= self.tokens.max() < network.config.vocabulary:
            raise IndexError(f"token ids are 0 to {network.config.vocabulary - 1}")  # loops do not look
        self.at = answers.columns.numpy()
        self.first, self._kind = self._kinds()
        self.keys = [self._keys(layer) for layer in range(self.layers)]

    @cached_property
    def alone(self) -> Array:
        """What the embeddings at the queries add to the logits before the last norm's scale, float[token, query]."""
        logits = self._network.embedding.logits(self._answered, self._vocab)
        return np.ascontiguousarray(logits.detach().numpy().T)

    @cached_property
    def bigram(self) -> Array | None:
        """float[query, token]."""
        if not self._network.config.bigram:
            return None
        rows = self._network.tensors["bigram"].detach()[self._answered]
        found: Array = (rows if self._vocab is None else rows[:, self._vocab]).numpy()
        return found

    def q_at(self, layer: int) -> Array | None:
        """The columns that a layer reads q at, where these are some of those that it reads."""
        return self.at if 0 < layer == self.layers - 1 else None

    def columns_of(self, norm: str) -> Array | None:
        """Where a norm is, None for every column."""
        if norm == "0.ln_1":
            return self.first
        return self.at if norm in ("ln_f", f"{self.layers - 1}.ln_2") else None

    def of_prompts(self, logits: Array) -> Array:
        """float[prompt, token] of float[query, token]."""
        return logits if self._of_prompt is None else logits[self._of_prompt.numpy()]

    def by_queries(self, by_logits: Array) -> Array:
        """Backward through `of_prompts`."""
        if self._of_prompt is None:
            return by_logits
        by = torch.from_numpy(by_logits)
        found: Array = by.new_zeros(len(self.at), by.shape[1]).index_add_(0, self._of_prompt, by).numpy()
        return found

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


class MaskedInput:
    """What a network, or a part of one, makes of prompts before any mask."""

    def __init__(self, network: Prepared, unembed: CompressedSite, prompts: MaskedPrompts):
        self.network, self._unembed, self.prompts = network, unembed, prompts

    @cached_property
    def kinds(self) -> Array:
        """What the first layer reads, float[channel, kind]."""
        return self._embedded(self.prompts.first)

    @cached_property
    def start(self) -> Array:
        """The stream that the first layer writes to, float[channel, column]."""
        return self._embedded(self.prompts.at if self.prompts.layers == 1 else None)

    def _embedded(self, columns: Array | None) -> Array:
        return kernels.looked_up(self.network.embed, self.network.channels, _at(columns, self.prompts.tokens))

    def logits(self, x: Array, member: int) -> Logits:
        """Of the last stream."""
        norm, prompts = self.norm("ln_f", x, member), self.prompts
        if self.network.rest is None:
            alone, added = np.zeros((len(self._unembed.bias), x.shape[1]), x.dtype), x
        else:
            alone, added = prompts.alone.copy(), x - self._embedded(prompts.at)
        kernels.add_product(self._unembed.weight, added, alone)
        return Logits(self._unembed, alone, x, norm, prompts.bigram)

    def norm(self, name: str, x: Array, member: int) -> Norm:
        network, at = self.network, self.prompts.columns_of(name)
        gain, scale, config = network.gains[name], self.prompts.scales.get(name), network.config
        if scale is None:
            rest = np.zeros(x.shape[1], x.dtype) if network.rest is None else network.rest[_at(at, self.prompts.tokens)]
            return Norm(gain, kernels.inverse_norm(x, rest, config.d_model, config.norm_eps), 1 / config.d_model)
        inverse = 1 / scale[member if len(scale) > 1 else 0]
        if len(inverse) > 1:
            inverse = _at(at, inverse)
        return Norm(gain, np.array(np.broadcast_to(inverse, x.shape[1])), 0.0)


class MaskedMember:
    """masks: of each layer, by kind of site, float[node]."""

    def __init__(self, given: MaskedInput, masks: Sequence[Mapping[str, Array]], member: int):
        self._input, self._prompts, self._member = given, given.prompts, member
        self._attention, self._mlp = [], []
        for i, layer in enumerate(given.network.layers):
            self._attention.append(Attention(layer, masks[i], given.prompts.keys[i], given.prompts.q_at(i)))
            self._mlp.append(Mlp(layer, masks[i]))

    def forward(self) -> Array:
        """float[prompt, token]."""
        prompts, x = self._prompts, self._input.kinds
        for layer, (attention, mlp) in enumerate(zip(self._attention, self._mlp, strict=True)):
            at = prompts.q_at(layer)
            into = self._input.start.copy() if layer == 0 else x.copy() if at is None else np.take(x, at, 1)
            attention.forward(x, self._norm(f"{layer}.ln_1", x), into)
            x = into.copy()
            mlp.forward(into, self._norm(f"{layer}.ln_2", into), x)
        self._logits = self._input.logits(x, self._member)
        return prompts.of_prompts(self._logits.values)

    def backward(self, by_logits: Array) -> list[dict[str, Array]]:
        """The gradients of the masks, as they were given."""
        found: list[dict[str, Array]] = []
        by_x = self._logits.backward(self._prompts.by_queries(by_logits))
        for layer in reversed(range(self._prompts.layers)):
            of_layer = self._mlp[layer].backward(by_x, by_x)
            at = self._prompts.q_at(layer)
            wide = by_x[:0] if layer == 0 else by_x if at is None else kernels.spread(by_x, at, self._prompts.width)
            found.append(of_layer | self._attention[layer].backward(by_x, wide))
            by_x = wide
        return found[::-1]

    def _norm(self, name: str, x: Array) -> Norm:
        return self._input.norm(name, x, self._member)


def _at(columns: Array | None, values: Array) -> Array:
    """Some columns of [column], or all."""
    return values if columns is None else values[columns]
