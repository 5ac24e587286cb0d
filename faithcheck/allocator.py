"""Keep freed memory instead of returning it to the system: activations are freed and asked for again at every step."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""glibc's numbers of these settings, malloc.h."""


def keep_freed_memory() -> None:
    """For a process of ours alone, on Linux with glibc; elsewhere nothing happens.

    Blocks of up to 32 MiB (the most that glibc allows) come from one heap that is hardly ever given back.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for setting, value in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 1 << 30), (_ARENA_MAX, 1)):
            mallopt(setting, value)
