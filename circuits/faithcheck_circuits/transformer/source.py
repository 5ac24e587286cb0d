"""A site's values on their way into a weight matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Source:
    """What a matrix is multiplied by: `values` float[member, node, pos, prompt] of a site, before the site's mask.

    gelu: whether the values are still to go through GELU. mask: float[member, node], None for all ones. on: int[node],
    outside of which the mask is 0; None where that is not known.
    """

    values: Tensor
    gelu: bool = False
    mask: Tensor | None = None
    on: Tensor | None = None

    def masked(self) -> Tensor:
        """float[member, node, pos, prompt]."""
        x = F.gelu(self.values) if self.gelu else self.values
        return x if self.mask is None else x * self.mask[:, :, None, None]

    def at(self, positions: Tensor) -> Source:
        """One position of each prompt, the position axis kept with length 1."""
        return replace(self, values=at_positions(self.values, positions))


def at_positions(value: Tensor, positions: Tensor) -> Tensor:
    """Keep one position of each prompt, of int[prompt] or int[member, prompt], of [member, ..., pos, prompt].

    The position axis is kept with length 1.
    """
    where = torch.atleast_2d(positions)
    where = where.view(len(where), *(1 for _ in value.shape[1:-1]), -1)
    members = max(len(value), len(where))
    where = where.expand(members, *value.shape[1:-2], 1, -1)
    return value.expand(members, *value.shape[1:-1], where.shape[-1]).gather(-2, where)
