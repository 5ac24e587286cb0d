"""The transformer restricted to kept nodes: what it costs follows the nodes, not the model's width.

The residual stream holds only the channels that a kept node reads or writes. Of the others the norms need the sum of
squares, and the logits what they add: both depend on the token alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from faithcheck.slots import slots
from faithcheck_circuits.transformer.config import RESIDUAL, SOURCE, WRITTEN
from faithcheck_circuits.transformer.matrix import SMALL, Matrix
from faithcheck_circuits.transformer.network import Network, Stream
from faithcheck_circuits.transformer.rows import Rows
from faithcheck_circuits.transformer.sites import channels_of


class RestrictedNetwork(Network):
    """The kept nodes' rows and columns, per member, padded with zero weights to the widest member.

    `index[site]` is int[member, slot], the node in each slot; `filled[site]` is bool[member, slot].
    Only heads that have a kept v node are computed, each member's own: the others add nothing to the output.
    With activation top-k every node competes, so every row is computed and the stream holds all channels.
    """

    def __init__(self, whole: Network, keep: Mapping[str, Tensor]):
        self.config, self._tensors, self.embedding = whole.config, dict(whole.tensors), whole.embedding
        placed = {site: slots(kept) for site, kept in keep.items()}
        self.index = {site: index for site, (index, _) in placed.items()}
        self.filled = {site: filled for site, (_, filled) in placed.items()}
        self._rows: dict[str, Rows] = {}
        self._matrices: dict[str, Matrix] = {}
        self._carry(keep)
        for layer in range(self.config.layers):
            self._place_in_heads(layer, keep)
            for kind, source in SOURCE.items():
                self._gather(f"{layer}.{kind}", f"{layer}.{source}")

    def _carry(self, keep: Mapping[str, Tensor]) -> None:
        """The channels of the stream, their embeddings, and the squares of the other channels' embeddings."""
        residual = [site for site in keep if site.split(".")[1] in RESIDUAL]
        used = channels_of(keep, RESIDUAL)
        if self.config.activation_topk is not None:
            used = torch.ones_like(used)
        self._channel, carried = slots(used)
        self._embed = self.embedding.rows.get()[self._channel] * carried[:, :, None]
        self._rest = self.embedding.rest(used)
        rank = used.cumsum(1) - 1
        for site in residual:
            self._rows[site] = Rows(rank.gather(1, self.index[site]), self.filled[site], carried.shape[1])
        self._written, self._is_written = slots(channels_of(keep, WRITTEN))
        self._added = Rows(rank.gather(1, self._written), self._is_written, carried.shape[1])

    def _place_in_heads(self, layer: int, keep: Mapping[str, Tensor]) -> None:
        used = keep[f"{layer}.attn_v"].unflatten(1, (-1, self.config.d_head)).any(-1)
        head, filled = slots(used)
        self.tensors[f"{layer}.sink"] = self.tensors[f"{layer}.sink"][head] * filled
        rank = used.cumsum(1) - 1
        for kind in ("attn_q", "attn_k", "attn_v"):
            site = f"{layer}.{kind}"
            of, channel = self.index[site] // self.config.d_head, self.index[site] % self.config.d_head
            inside = self.filled[site] & used.gather(1, of)
            self._rows[site] = Rows(
                rank.gather(1, of) * self.config.d_head + channel, inside, head.shape[1] * self.config.d_head
            )

    def _gather(self, site: str, source: str) -> None:
        """The site's weights float[member, slot, source]."""
        weight, bias = self.tensors[f"{site}.weight"], self.tensors[f"{site}.bias"]
        columns, filled_in = self.index[source], self.filled[source]
        if self.config.activation_topk is None:
            rows, filled_out = self.index[site], self.filled[site]
        else:
            rows = torch.arange(len(bias), device=bias.device).expand(len(columns), -1)
            filled_out = torch.ones_like(rows, dtype=torch.bool)
        block = weight[rows[:, :, None], columns[:, None, :]]
        self.tensors[f"{site}.weight"] = block * (filled_out[:, :, None] & filled_in[:, None, :])
        self.tensors[f"{site}.bias"] = (bias[rows] * filled_out)[:, :, None]
        if len(block) == 1 and block.numel() >= SMALL:
            one = {f"{site}.weight": self.tensors[f"{site}.weight"][0], f"{site}.bias": bias[rows[0]]}
            self._matrices[site] = Matrix(one, site)

    def stream(self, tokens: Tensor) -> Stream:
        return Stream(_lookup(self._embed, tokens), _lookup(self._rest[:, None], tokens)[:, 0], tokens)

    def read(self, site: str, stream: Stream, norm: str) -> Tensor:
        if self.config.activation_topk is not None:
            return super().read(site, stream, norm)
        return self._rows[site].pick(stream.x) * self.tensors[f"{norm}.gain"][self.index[site]][:, :, None]

    def select(self, site: str, x: Tensor) -> Tensor:
        return (
            x if self.config.activation_topk is None else Rows(self.index[site], self.filled[site], x.shape[1]).pick(x)
        )

    def compute(self, site: str, source: Tensor) -> Tensor:
        if site in self._matrices:
            return super().compute(site, source)
        x, weight, bias = source, self.tensors[f"{site}.weight"], self.tensors[f"{site}.bias"]
        if len(weight) == 1 and len(x) == 1:
            return torch.addmm(bias[0], weight[0], x[0])[None]
        members = max(len(x), len(weight))
        return torch.baddbmm(bias, weight.expand(members, -1, -1), x.expand(members, -1, -1))

    def split_heads(self, site: str, x: Tensor) -> Tensor:
        return super().split_heads(site, self._rows[site].put(x))

    def merge_heads(self, layer: int, z: Tensor) -> Tensor:
        return self._rows[f"{layer}.attn_v"].pick(super().merge_heads(layer, z))

    def sink(self, layer: int) -> Tensor:
        return self.tensors[f"{layer}.sink"]

    def write(self, site: str, stream: Stream, x: Tensor) -> Stream:
        return Stream(self._rows[site].put(x, stream.x), stream.rest, stream.tokens)

    def logits(self, stream: Stream, vocab: Tensor | None, scale: Tensor) -> Tensor:
        """What the embedding adds, and what the kept nodes have added to it."""
        added = self._added.pick((stream.x - _lookup(self._embed, stream.tokens)) / scale).transpose(1, 2)
        unembed = self._unembed if vocab is None else self._unembed[..., vocab]
        alone = self.embedding.logits(stream.tokens, vocab) / scale.transpose(1, 2)
        members = max(map(len, (added, unembed, alone)))
        added, unembed = (part.expand(members, -1, -1) for part in (added, unembed))
        return torch.baddbmm(alone, added, unembed) if len(alone) < members else alone.baddbmm_(added, unembed)

    @cached_property
    def _unembed(self) -> Tensor:
        """float[member, channel that is written to, token]."""
        return self.embedding.unembed.get()[self._written] * self._is_written[:, :, None]


def _lookup(table: Tensor, tokens: Tensor) -> Tensor:
    """float[member, row, column] of a table float[member, row, token] at int[member or 1, column]."""
    if len(tokens) == 1:
        return table.index_select(2, tokens[0])
    where = tokens[:, None].expand(-1, table.shape[1], -1)
    return table.expand(len(tokens), -1, -1).gather(2, where)
