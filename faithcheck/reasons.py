"""Everything that is wrong with one file, said at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from faithcheck.errors import Location, UserError
from faithcheck.marked_yaml import KeyPath, Marked

MAX_REASONS = 5


@dataclass(frozen=True)
class Reason:
    """One thing that is wrong, and where."""

    text: str
    location: Location | None = None

    def __str__(self) -> str:
        return f"{self.location}: {self.text}" if self.location else self.text

    @property
    def line(self) -> int:
        return (self.location and self.location.line) or 0


def refusal(reasons: Sequence[Reason]) -> UserError:
    """One error that says all the reasons (five at most), a line each. There must be one at least."""
    first, *others = sorted(reasons, key=lambda reason: reason.line)
    left_out = len(reasons) - MAX_REASONS
    more = [f"and {left_out} more"] if left_out > 0 else []
    shown = map(str, others[: MAX_REASONS - 1])
    return UserError("\n".join([first.text, *shown, *more]), first.location)


class Reasons:
    """Collects reasons about one marked file."""

    def __init__(self, marked: Marked):
        self._marked = marked
        self._found: dict[Reason, None] = {}

    def add(self, text: str, path: KeyPath, key: bool = False) -> None:
        """Note what is wrong with the value (or the key) at `path`; the same thing twice counts once."""
        place = self._marked.key_mark(path) if key else self._marked.mark(path)
        self._found[Reason(f"{dotted(path)}: {text}", place)] = None

    @contextmanager
    def collecting(self, path: KeyPath, key: bool = False) -> Iterator[None]:
        """Inside, a ValueError becomes a reason about `path`."""
        try:
            yield
        except ValueError as error:
            self.add(str(error), path, key)

    def raise_any(self) -> None:
        """Raises UserError where anything was added."""
        if self._found:
            raise refusal(list(self._found))


def dotted(path: Iterable[str | int]) -> str:
    """`checks.layernorm.gates`, `tasks[1]`: a path as users read and write it."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
