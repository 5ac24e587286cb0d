"""The levers of a run, over the columns that it computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from faithcheck_circuits.transformer.columns import Columns
from faithcheck_circuits.transformer.network import Network

ByName = Mapping[str, Tensor]


@dataclass(frozen=True)
class Levers:
    """Masks and baselines {site: float[member, node, column or 1]}, norm scales {norm: float[member, column or 1]}."""

    columns: Columns
    masks: ByName
    baselines: ByName
    norm_scales: ByName


def levers_of(
    network: Network, tokens: Tensor, positions: Tensor | None, levers: tuple[ByName, ByName, ByName]
) -> Levers:
    """tokens: int[member or 1, prompt, pos]. Masks, baselines and norm scales as `Model.run` takes them.

    Prompts share the columns of their prefixes unless a lever tells them apart, or wants a gradient of its own at each
    position. positions: int[prompt], after which nothing is asked for, or int[member, prompt].
    """
    one_list = len(tokens) == 1 and (positions is None or positions.dim() == 1)
    if (
        tokens.device.type == "cpu"
        and one_list
        and network.is_frozen
        and not any(map(_varies, levers, (4, 4, 3), (True, False, False)))
    ):
        shared = Columns.together(tokens, positions)
        if shared is not None and (over := _over(shared, levers)) is not None:
            return Levers(shared, *over)
    apart = Columns.apart(tokens)
    over = _over(apart, levers)
    assert over is not None
    return Levers(apart, *over)


def _over(columns: Columns, levers: tuple[ByName, ByName, ByName]) -> tuple[ByName, ByName, ByName] | None:
    """The levers over columns; None where one differs between positions that share a column."""
    found: list[dict[str, Tensor]] = []
    for by_name, dims in zip(levers, (4, 4, 3), strict=True):
        over: dict[str, Tensor] = {}
        for name, lever in by_name.items():
            over_nodes = by_name is levers[0] and lever.dim() == 2
            column = lever.unsqueeze(-1) if over_nodes else columns.gather(_lead(lever, dims))
            if column is None:
                return None
            over[name] = column
        found.append(over)
    return found[0], found[1], found[2]


def _varies(by_name: ByName, dims: int, are_masks: bool) -> bool:
    """Whether a mask differs by prompt or position, or another lever does and wants gradients."""
    differing = [lever for lever in by_name.values() if not (are_masks and lever.dim() == 2)]
    return any(max(_lead(lever, dims).shape[1:3]) > 1 and (are_masks or lever.requires_grad) for lever in differing)


def _lead(value: Tensor, dims: int) -> Tensor:
    """The value with leading axes of length 1, to `dims` axes."""
    return value[(None,) * (dims - value.dim())]
