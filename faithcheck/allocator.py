"""Keep freed memory instead of returning it to the system: activations are freed and asked for again at every step."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""glibc's numbers of these settings, malloc.h."""


def keep_freed_memory() -> None:
    """For a process of ours alone, on Linux with glibc; elsewhere nothing happens.

    Blocks of up to 32 MiB (the most that glibc allows) come from one heap that is hardly ever given back.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        for setting, value in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 1 << 30), (_ARENA_MAX, 1)):
            mallopt(setting, value)


def give_back_freed_memory() -> None:
    """What `keep_freed_memory` has kept, where nothing is to be done for a while."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
