"""Standard output and error whose reader may leave early, as `head` does, or whose disk may be full."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, TextIO

from faithcheck.errors import UserError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ERROR = 2
"""The descriptor of standard error."""


class _Dropping(io.FileIO):
    """A file that drops what it cannot write any more.

    Raises UserError once for what was asked for and is lost, which on standard error nothing is.
    """

    _lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            known = self._lost or isinstance(error, BrokenPipeError) or self.fileno() == _ERROR
            self._lost = True
            if not known:
                raise UserError(f"cannot write the output: {error.strerror}") from None
            return len(memoryview(data))


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """A command goes on where nobody reads it any more: it writes its files, and its exit code is what it would be.

    rich ends a command otherwise, with the exit code 1, which says that a gate failed.
    """
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(stack.enter_context(_kept_open(sys.stdout))))
        stack.enter_context(redirect_stderr(stack.enter_context(_kept_open(sys.stderr))))
        yield


@contextmanager
def _kept_open(stream: TextIO) -> Iterator[TextIO]:
    """A stream that writes to a closed pipe as if it were open; what is no plain file, or not there, as it is."""
    if type(stream) is not io.TextIOWrapper or not isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO):
        yield stream
        return
    stream.flush()
    file = _Dropping(stream.fileno(), "w", closefd=False)
    patient = io.TextIOWrapper(
        file if stream.write_through else io.BufferedWriter(file),  # write_through: PYTHONUNBUFFERED
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    try:
        yield patient
    finally:
        patient.flush()
