"""What was computed once for several checks, and whether it still is what it was then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from faithcheck.model import Run

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Kept:
    """Tensors and arrays that are handed out again, each with a mark of its values when it was computed."""

    def __init__(self) -> None:
        self._marked: list[tuple[Tensor, tuple[int, int]]] = []

    def run(self, run: Run) -> Run:
        """The run, whose logits and captured values are kept from now on."""
        self.values([run.logits, *run.captured.values()])
        return run

    def values(self, values: Iterable[Tensor | npt.NDArray[Any]]) -> None:
        tensors = (torch.from_numpy(value) if isinstance(value, np.ndarray) else value for value in values)
        self._marked += [(tensor, _mark(tensor)) for tensor in tensors]

    @property
    def is_changed(self) -> bool:
        return any(_mark(tensor) != before for tensor, before in self._marked)


def _mark(tensor: Tensor) -> tuple[int, int]:
    """Torch's count of changes in place, and the sum of the values' bits: NumPy's changes are not counted, and a sum
    does not see a sorting."""
    bits = tensor.detach().contiguous().view(_BITS[tensor.element_size()])
    return (0 if tensor.is_inference() else tensor._version), int(bits.sum(dtype=torch.int64))
