"""Tensors that are made from a model's tensors once, and again after these were changed in place."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


class Derived:
    """What `make(*sources)` gives, kept until a source is changed in place."""

    def __init__(self, make: Callable[..., Tensor], *sources: Tensor):
        self._make, self._sources = make, sources
        self._made: tuple[tuple[int, ...], Tensor] | None = None

    def get(self) -> Tensor:
        versions = tuple(0 if source.is_inference() else source._version for source in self._sources)
        made = self._made
        if made is None or made[0] != versions:
            made = self._made = (versions, self._make(*self._sources))
        return made[1]
