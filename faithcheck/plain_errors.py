"""However a plugin ends a call other than by returning, it is an error of the plugin, and the run goes on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, Protocol

from faithcheck.plugins import one_line


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raises RuntimeError for os._exit and what is no Exception: SystemExit, a KeyboardInterrupt that no one typed.

    Ctrl-C stays KeyboardInterrupt, also where a plugin made another error of it. The working directory is put back.
    """
    with _same_folder(), _ctrl_c() as ctrl_c, _without_exit():
        try:
            yield
        except BaseException as error:
            if ctrl_c is None and isinstance(error, KeyboardInterrupt):
                raise
            if ctrl_c is not None and ctrl_c.typed:
                raise KeyboardInterrupt from error
            if isinstance(error, Exception):
                raise
            if isinstance(error, SystemExit):
                raise RuntimeError(f"called sys.exit({error.code!r})") from error
            raise RuntimeError(f"raised {one_line(error)}") from error


@contextmanager
def _same_folder() -> Iterator[None]:
    """Puts the working directory back; one that is gone is left as it is."""
    folder = None
    with suppress(OSError):
        folder = os.getcwd()
    try:
        yield
    finally:
        with suppress(OSError):
            if folder is not None:
                os.chdir(folder)


class _CtrlC:
    """As Python's own handler of Ctrl-C, and remembers that it was typed."""

    typed = False

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        self.typed = True
        raise KeyboardInterrupt


@contextmanager
def _ctrl_c() -> Iterator[_CtrlC | None]:
    """The handler of Ctrl-C inside: one of ours in the place of Python's own, or None where that is not to be had."""
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, _CtrlC):
        yield before
    elif before is signal.default_int_handler and threading.current_thread() is threading.main_thread():
        handler = _CtrlC()
        signal.signal(signal.SIGINT, handler)
        try:
            yield handler
        finally:
            signal.signal(signal.SIGINT, before)
    else:
        yield None


class _Ending(Protocol):
    def __call__(self, status: int) -> NoReturn: ...


class _Refusal:
    """In the place of `before`, os._exit: raises while it is `inside`, in the process and the threads of whoever made
    it. One that another thread's came over stays for a while, and lets everything pass."""

    inside = True

    def __init__(self, before: _Ending):
        self.before, self._here = before, os.getpid()
        self._others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}

    def __call__(self, status: int) -> NoReturn:
        if not self.inside or os.getpid() != self._here or threading.get_ident() in self._others:
            self.before(status)
        raise RuntimeError(f"called os._exit({status!r})")


@contextmanager
def _without_exit() -> Iterator[None]:
    """os._exit raises inside: it would end the run without a result, and with any exit code, 0 too.

    Not in child processes made by a fork, which end by it, nor in threads that were there before: a notebook's, or a
    test runner's, may have to end the process meanwhile.
    """
    refusal = os._exit = _Refusal(_live(os._exit))
    try:
        yield
    finally:
        refusal.inside = False
        os._exit = _live(os._exit)


def _live(ending: _Ending) -> _Ending:
    """What is below the refusals that are over."""
    while isinstance(ending, _Refusal) and not ending.inside:
        ending = ending.before
    return ending
