"""Errors of the user's making. Each is one or two lines for the terminal, never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Location:
    """A place in a file the user wrote; line and column count from 1."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class UserError(Exception):
    """Bad suite, argument or reference: exit code 2. Carries where it was found, when that is known."""

    def __init__(self, message: str, location: Location | None = None):
        super().__init__(f"{location}: {message}" if location else message)
        self.message = message
        self.location = location


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a run. What was finished is in the folder `out`."""

    def __init__(self, out: Path):
        super().__init__(f"what was finished is kept in {out}")
        self.out = out


class NotSupported(Exception):
    """A model lacks an optional capability; a check that needs it is NOT_APPLICABLE."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest of the known words, whatever its capitals, or an empty string where
    none is near."""
    by_small_letters = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(str(word).casefold(), list(by_small_letters), n=1, cutoff=0.6)
    return f"; did you mean {by_small_letters[near[0]]!r}?" if near else ""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
