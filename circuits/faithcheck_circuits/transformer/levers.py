"""The levers of a run, over the columns that it computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from faithcheck_circuits.transformer.columns import Columns

ByName = Mapping[str, Tensor]


@dataclass(frozen=True)
class Levers:
    """Masks and baselines {site: float[member, node, column or 1]}, norm scales {norm: float[member, column or 1]}.

    `on`: {site: int[node]}, the nodes that are on in some member, where a mask over [member, node] says so.
    """

    columns: Columns
    masks: ByName
    baselines: ByName
    norm_scales: ByName
    on: ByName

    def still(self, layer: int, d_head: int, heads: int) -> Tensor | None:
        """int[head] of heads whose v nodes are all off, and their q or their k nodes too; None where none is known."""
        names = [f"{layer}.attn_{s}" for s in "vqk"]
        if any(name not in self.on or name in self.baselines for name in names):
            return None
        v, q, k = (torch.zeros(heads, dtype=torch.bool).index_fill(0, self.on[name] // d_head, True) for name in names)
        return (~v & ~(q & k)).nonzero().flatten()


def levers_of(
    skips_off: bool, tokens: Tensor, positions: Tensor | None, levers: tuple[ByName, ByName, ByName]
) -> Levers:
    """tokens: int[member or 1, prompt, pos]. Masks, baselines and norm scales as `Model.run` takes them.

    Prompts share the columns of their prefixes unless a lever tells them apart. positions: int[prompt], after which
    nothing is asked for.
    """
    on_cpu = tokens.device.type == "cpu"
    masks = levers[0]
    hard = {site: m for site, m in masks.items() if skips_off and on_cpu and m.dim() == 2}
    on = {site: mask.detach().any(0).nonzero().flatten() for site, mask in hard.items()}
    varies = any(m.dim() > 2 and max(_lead(m, 4).shape[1:3]) > 1 for m in masks.values())
    if on_cpu and len(tokens) == 1 and not varies:
        shared = Columns.together(tokens, positions)
        found = None if shared is None else _over(shared, levers)
        if shared is not None and found is not None:
            return Levers(shared, *found, on)
    apart = Columns.apart(tokens)
    over = _over(apart, levers)
    assert over is not None
    return Levers(apart, *over, on)


def _over(columns: Columns, levers: tuple[ByName, ByName, ByName]) -> tuple[ByName, ByName, ByName] | None:
    """The levers over columns; None where one differs between positions that share a column."""
    found: list[dict[str, Tensor]] = []
    for by_name, dims in zip(levers, (4, 4, 3), strict=True):
        over: dict[str, Tensor] = {}
        for name, lever in by_name.items():
            over_nodes = dims == 4 and lever.dim() == 2
            column = lever.unsqueeze(-1) if over_nodes else columns.gather(_lead(lever, dims))
            if column is None:
                return None
            over[name] = column
        found.append(over)
    return found[0], found[1], found[2]


def _lead(value: Tensor, dims: int) -> Tensor:
    """The value with leading axes of length 1, to `dims` axes."""
    return value[(None,) * (dims - value.dim())]
