"""The tensors of a transformer, whole or restricted to kept nodes, behind the same five steps.

A `Network` knows how to read a site from a normalised residual stream, how to compute one site from another, how a
q, k or v site falls into heads, and how a site is written back to the residual stream. `forward` composes these steps
and does not know which kind of network it runs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from faithcheck.slots import slots
from faithcheck_circuits.transformer.config import SOURCE, Config


class Network:
    """The whole model. Activations are float[member, prompt, pos, node]."""

    def __init__(self, config: Config, tensors: Mapping[str, Tensor]):
        self.config = config
        self.tensors = dict(tensors)

    def read(self, site: str, x: Tensor, norm: str) -> Tensor:
        """The residual channels that a site after a norm reads, times the norm's gain."""
        return x * self.tensors[f"{norm}.gain"]

    def select(self, site: str, x: Tensor) -> Tensor:
        """The site's nodes out of a value that covers all of them."""
        return x

    def compute(self, site: str, x: Tensor) -> Tensor:
        """The site's values before its activation function, from its source site's values."""
        return F.linear(x, self.tensors[f"{site}.weight"], self.tensors[f"{site}.bias"])

    def split_heads(self, site: str, x: Tensor) -> Tensor:
        """float[member, prompt, pos, node] -> float[member, prompt, head, pos, channel]."""
        return x.unflatten(-1, (-1, self.config.d_head)).transpose(2, 3)

    def merge_heads(self, layer: int, z: Tensor) -> Tensor:
        """float[member, prompt, head, pos, channel] -> float[member, prompt, pos, v node]."""
        return z.transpose(2, 3).flatten(-2)

    def sink(self, layer: int) -> Tensor:
        """float[head]: the sink's logit of each head that is computed."""
        return self.tensors[f"{layer}.sink"]

    def write(self, site: str, residual: Tensor, x: Tensor) -> Tensor:
        """The residual stream after the site's values are added to it."""
        return residual + x


class RestrictedNetwork(Network):
    """The kept nodes' rows and columns, per member, padded with zero weights to the longest member.

    `index[site]` is int[member, slot], the node in each slot; `filled[site]` is bool[member, slot].
    Only heads that have a kept v node in some member are computed: the others add nothing to the output.
    """

    def __init__(self, whole: Network, keep: Mapping[str, Tensor]):
        super().__init__(whole.config, whole.tensors)
        placed = {site: slots(kept) for site, kept in keep.items()}
        self.index = {site: index for site, (index, _) in placed.items()}
        self.filled = {site: filled for site, (_, filled) in placed.items()}
        self.heads = [self._used_heads(layer) for layer in range(whole.config.layers)]
        self.channel: dict[str, Tensor] = {}
        for layer in range(whole.config.layers):
            for kind, source in SOURCE.items():
                self._gather(f"{layer}.{kind}", f"{layer}.{source}")
            for kind in ("attn_q", "attn_k", "attn_v"):
                self._place_in_heads(layer, f"{layer}.{kind}")

    def _used_heads(self, layer: int) -> Tensor:
        site = f"{layer}.attn_v"
        return torch.unique(self.index[site][self.filled[site]] // self.config.d_head)

    def _gather(self, site: str, source: str) -> None:
        weight, bias = self.tensors[f"{site}.weight"], self.tensors[f"{site}.bias"]
        columns, filled_in = self.index[source], self.filled[source]
        if self.config.activation_topk is None:
            rows, filled_out = self.index[site], self.filled[site]
        else:
            rows = torch.arange(len(bias), device=bias.device).expand(len(columns), -1)
            filled_out = torch.ones_like(rows, dtype=torch.bool)
        block = weight[rows[:, :, None], columns[:, None, :]]
        block = block * filled_out[:, :, None] * filled_in[:, None, :]
        self.tensors[f"{site}.weight"] = block.transpose(1, 2).contiguous()
        self.tensors[f"{site}.bias"] = (bias[rows] * filled_out)[:, None, :]

    def _place_in_heads(self, layer: int, site: str) -> None:
        width, heads = self.config.d_head, self.heads[layer]
        place = torch.full((self.config.heads,), -1, device=heads.device)
        place[heads] = torch.arange(len(heads), device=heads.device)
        head, channel = self.index[site] // width, self.index[site] % width
        used = self.filled[site] & (place[head] >= 0)
        spare = len(heads) * width
        self.channel[site] = torch.where(used, place[head] * width + channel, spare)

    def read(self, site: str, x: Tensor, norm: str) -> Tensor:
        if self.config.activation_topk is not None:
            return super().read(site, x, norm)
        return _take(x, self.index[site]) * self.tensors[f"{norm}.gain"][self.index[site]][:, None, None, :]

    def select(self, site: str, x: Tensor) -> Tensor:
        return x if self.config.activation_topk is None else _take(x, self.index[site])

    def compute(self, site: str, x: Tensor) -> Tensor:
        weight, bias = self.tensors[f"{site}.weight"], self.tensors[f"{site}.bias"]
        if len(weight) == 1:
            return F.linear(x, weight[0].T, bias[0, 0])
        members = max(len(x), len(weight))
        flat = x.expand(members, *x.shape[1:]).flatten(1, 2)
        return torch.baddbmm(bias, flat, weight).unflatten(1, x.shape[1:3])

    def split_heads(self, site: str, x: Tensor) -> Tensor:
        layer = int(site.split(".")[0])
        width = len(self.heads[layer]) * self.config.d_head
        spread = _scatter_add(x.new_zeros(*_shape(x, self.channel[site]), width + 1), self.channel[site], x)
        return spread[..., :width].unflatten(-1, (len(self.heads[layer]), self.config.d_head)).transpose(2, 3)

    def merge_heads(self, layer: int, z: Tensor) -> Tensor:
        flat = F.pad(z.transpose(2, 3).flatten(-2), (0, 1))
        return _take(flat, self.channel[f"{layer}.attn_v"])

    def sink(self, layer: int) -> Tensor:
        return self.tensors[f"{layer}.sink"][self.heads[layer]]

    def write(self, site: str, residual: Tensor, x: Tensor) -> Tensor:
        index, filled = self.index[site], self.filled[site]
        if len(index) > 1:
            x = x * filled[:, None, None, :]
        members = max(len(residual), len(x), len(index))
        return _scatter_add(residual.expand(members, *residual.shape[1:]), index, x)


def _shape(x: Tensor, index: Tensor) -> tuple[int, int, int]:
    return max(len(x), len(index)), x.shape[1], x.shape[2]


def _take(x: Tensor, index: Tensor) -> Tensor:
    if len(index) == 1:
        return x.index_select(-1, index[0])
    shape = _shape(x, index)
    return x.expand(*shape, -1).gather(-1, index[:, None, None, :].expand(*shape, -1))


def _scatter_add(into: Tensor, index: Tensor, x: Tensor) -> Tensor:
    if len(index) == 1:
        return into.index_add(-1, index[0], x.expand(*into.shape[:-1], -1))
    shape = into.shape[:-1]
    return into.scatter_add(-1, index[:, None, None, :].expand(*shape, -1), x.expand(*shape, -1))
