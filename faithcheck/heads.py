"""Query heads and the heads of values they share: grouped attention has fewer of keys and values than of queries.

The outputs of query heads that share their values are masked together, so which of them the answer depends on cannot
be told. What is measured on each is read as one number three ways (`READINGS`); whatever share each of them has in
the answer, their weighted mean lies between the least and the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from faithcheck.estimate import Estimate
    from faithcheck.model import Model

READINGS = {"": "mean", " at least": "min", " at most": "max"}
"""What is appended to a metric's name -> the method of an array that makes one number of those of a group."""
SHARED = "the intervals allow for whichever of the query heads that share values the answer depends on"


def group_size(model: Model, layer: int) -> int:
    """How many query heads share a head of values in a layer of a whole model; 1 where attention is not grouped.

    Raises ValueError where the query heads cannot be shared out evenly.
    """
    query, value = (model.sites.get(f"{layer}.attn_{kind}") for kind in "qv")
    if query is None or value is None or query.head is None or value.head is None:
        return 1
    queries, values = int(query.head.max()) + 1, int(value.head.max()) + 1
    if queries % values:
        raise ValueError(f"layer {layer}: {queries} query heads cannot share {values} heads of values evenly")
    return queries // values


def query_heads(value_heads: Iterable[int], group: int) -> list[int]:
    """The query heads of each head of values in turn: query heads i * group to (i + 1) * group - 1 share head i."""
    return [head * group + place for head in value_heads for place in range(group)]


def by_group(values: npt.NDArray[np.float64], sizes: Sequence[int], of: str) -> npt.NDArray[np.float64]:
    """float[draw, query head] -> float[draw, group], the groups side by side and of these sizes, by a reading."""
    import numpy as np

    parts = np.split(values, np.cumsum(sizes)[:-1], axis=1)
    return np.stack([getattr(part, of)(axis=1) for part in parts], 1)


def whichever(found: Mapping[str, Estimate], name: str, readings: Iterable[str]) -> Estimate:
    """The estimate of a metric by the mean, its interval widened to those by every reading."""
    every = [found[name + reading] for reading in readings]
    if len(every) == 1:
        return every[0]
    return replace(found[name], low=min(e.low for e in every), high=max(e.high for e in every), draws=None)
