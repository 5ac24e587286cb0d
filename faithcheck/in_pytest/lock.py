"""A lock between processes that the system gives back whichever way its holders end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faithcheck.errors import UserError
from faithcheck.files import cannot_write

try:
    import fcntl
except ImportError:  # not on this system
    fcntl = None  # type: ignore[assignment]


@contextmanager
def held(path: Path, alone: bool) -> Iterator[int]:
    """Holds the lock of a file, waiting for it, and gives its descriptor: a child that inherits it holds it as well.

    alone: there is no other process to keep out, should there be no such locks, on this system or in this folder. Else
    that is a UserError, as is a file that cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise cannot_write(path.parent, "results", error) from None
    try:
        if not _locked(descriptor) and not alone:
            raise UserError("there are no file locks here, so workers cannot share a run; run pytest without -n")
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Waits for the lock; false where there is no such thing, as on some network drives."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return fcntl is not None
