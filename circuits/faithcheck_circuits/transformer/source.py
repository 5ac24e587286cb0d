"""A site's values on their way into a weight matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Source:
    """What a matrix is multiplied by: `values` float[member, node, column] of a site, before the site's mask.

    gelu: whether the values are still to go through GELU. mask: float[member, node], None for all ones. on: int[node],
    outside of which the mask is 0; None where that is not known.
    """

    values: Tensor
    gelu: bool = False
    mask: Tensor | None = None
    on: Tensor | None = None

    def masked(self) -> Tensor:
        """float[member, node, column]."""
        x = F.gelu(self.values) if self.gelu else self.values
        return x if self.mask is None else x * self.mask[:, :, None]

    def at(self, columns: Tensor) -> Source:
        """Some columns, int[query] or int[member, query]."""
        return replace(self, values=at_columns(self.values, columns))


def at_columns(value: Tensor, columns: Tensor) -> Tensor:
    """float[member, ..., query] of float[member, ..., column], at int[query] or int[member, query]."""
    if columns.dim() == 1:
        return value.index_select(-1, columns)
    members = max(len(value), len(columns))
    where = columns.view(len(columns), *(1 for _ in value.shape[1:-1]), -1)
    return value.expand(members, *value.shape[1:]).gather(-1, where.expand(members, *value.shape[1:-1], -1))
