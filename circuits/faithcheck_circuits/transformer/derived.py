"""Tensors that are made from a model's tensors once, and again after these were changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor


@dataclass
class _Made:
    sources: list[Tensor]
    versions: list[int]
    value: Any


T = TypeVar("T")


class Derived(Generic[T]):
    """What `make` gives of named tensors, kept until one of them is another tensor or was changed in place.

    A change through `.data` or another library's view of the memory cannot be seen. `make` is no method of what keeps
    this: in a cycle, large tensors would wait for Python's collector.
    """

    def __init__(self, make: Callable[..., T], tensors: Mapping[str, Tensor], *names: str):
        self._make, self._tensors, self._names = make, tensors, names
        self._made: _Made | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None}  # compressed tensors can be neither copied nor pickled

    def get(self) -> T:
        sources = [self._tensors[name] for name in self._names]
        versions = [0 if source.is_inference() else source._version for source in sources]
        made = self._made
        if (
            made is None
            or made.versions != versions
            or any(a is not b for a, b in zip(made.sources, sources, strict=True))
        ):
            made = self._made = _Made(sources, versions, self._make(*sources))
        value: T = made.value
        return value
