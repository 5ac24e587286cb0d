"""Which errors mean that memory ran out."""

from __future__ import annotations

import errno
from collections.abc import Iterator


def out_of_memory(error: BaseException) -> bool:
    """Whether the error, or one that it came of, seems to say so: Python's, numpy's, a GPU's or torch's CPU
    allocator's; or a worker process was killed, as the system does where memory is short."""
    return any(_says_so(each) for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """As a traceback shows it, the last one first."""
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and not any(each is one for one in seen):
        yield each
        seen.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    try:
        words = str(error)
    except Exception:
        return False
    if type(error).__name__ == "TerminatedWorkerError":  # loky's
        return "SIGKILL" in words
    return "out of memory" in words or "DefaultCPUAllocator: can't allocate memory" in words
