"""State that plugins share with everybody: what of it was changed, and putting it back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def _set_grad_mode(on: bool) -> None:
    torch.set_grad_enabled(on)


_PARTS: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "torch's grad mode": (torch.is_grad_enabled, _set_grad_mode),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's thread count": (torch.get_num_threads, torch.set_num_threads),
    "torch's choice of deterministic algorithms": (
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
    ),
    "torch's global random generator": (torch.get_rng_state, torch.set_rng_state),
    "numpy's global random generator": (np.random.get_state, np.random.set_state),
    "Python's global random generator": (random.getstate, random.setstate),
}
"""How each is read and set."""


@contextmanager
def surroundings(seed: int) -> Iterator[list[str]]:
    """Inside, the global generators start from `seed`. The list fills at the end with the names of what was changed;
    everything is put back."""
    before = _read()
    changed: list[str] = []
    try:
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        given = _read()
        yield changed
        now = _read()
        changed += [name for name in _PARTS if not _same(given[name], now[name])]
    finally:
        for name, (_, put) in _PARTS.items():
            put(before[name])


def _read() -> dict[str, Any]:
    return {name: read() for name, (read, _) in _PARTS.items()}


def _same(one: Any, other: Any) -> bool:
    """numpy's state is a tuple that holds an array."""
    if isinstance(one, tuple):
        return all(_same(a, b) for a, b in zip(one, other, strict=True))
    return bool(np.array_equal(one, other)) if isinstance(one, torch.Tensor | np.ndarray) else bool(one == other)
