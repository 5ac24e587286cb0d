"""Stops a plugin that takes too long."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN = 5.0
"""Seconds after which code that caught the stop is stopped again."""

_LONGEST = 1e9
"""Seconds that an alarm can be set to on every system."""


class OutOfTime(Exception):
    """Work was stopped because it took longer than it may."""


class _Stop(BaseException):
    """Raised inside the work; no plugin's `except Exception` holds it."""


@contextmanager
def at_most(seconds: float, what: str) -> Iterator[None]:
    """Raises OutOfTime when the work inside takes longer.

    By an alarm of the system, so in the main thread only and where there is one; elsewhere work is not stopped. Work
    inside a library that does not come back to Python goes on until it does. An alarm that was set before, a test
    runner's, comes when this is over.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    working = True

    def stop(number: int, frame: FrameType | None) -> None:
        if working:
            raise _Stop

    left, again = signal.setitimer(signal.ITIMER_REAL, 0)
    before, start = signal.signal(signal.SIGALRM, stop), time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, min(seconds, _LONGEST), _AGAIN)
        yield
        working = False
    except _Stop:
        working = False
        raise OutOfTime(f"{what} took longer than its {seconds:g} seconds (time_limit)") from None
    finally:
        working = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - start), 1e-3), again)
