"""Standard output and error whose reader may leave early, as `head` does, or whose disk may be full."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Dropping(io.FileIO):
    """A file that drops what it cannot write, and collects in `lost` why, unless its reader has gone."""

    def __init__(self, descriptor: int, lost: list[OSError]):
        super().__init__(descriptor, "w", closefd=False)
        self._lost = lost

    def write(self, data: ReadableBuffer, /) -> int:
        view, done = memoryview(data).cast("B"), 0
        try:
            while done < len(view) and (count := super().write(view[done:])):  # a disk may take a part
                done += count
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self._lost.append(error)
            return len(view)
        return done


@contextmanager
def readers_may_leave() -> Iterator[list[OSError]]:
    """A command goes on where nobody reads it any more, or its output finds no room: it writes its files.

    What could not be written to standard output is in the list, once that is flushed. rich ends a command otherwise,
    with the exit code 1, which says that a gate failed.
    """
    lost: list[OSError] = []
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(stack.enter_context(_kept_open(sys.stdout, lost))))
        stack.enter_context(redirect_stderr(stack.enter_context(_kept_open(sys.stderr, []))))
        yield lost


@contextmanager
def _kept_open(stream: TextIO, lost: list[OSError]) -> Iterator[TextIO]:
    """A stream that goes on where it cannot write; what is no plain file, or not there, as it is."""
    if type(stream) is not io.TextIOWrapper or not isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO):
        yield stream
        return
    stream.flush()
    file = _Dropping(stream.fileno(), lost)
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
