"""What came of a claim, and of several."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from faithcheck.claims.judging import Objection


class State(Enum):
    """In words, and as an exit code."""

    HOLDS = ("holds", 0)
    BROKEN = ("does not hold", 1)
    UNTESTABLE = ("cannot be tested", 2)
    CRASHED = ("crashed", 3)
    INTERRUPTED = ("interrupted", 130)

    def __init__(self, words: str, code: int):
        self.words = words
        self.code = code


@dataclass(frozen=True)
class Outcome:
    """`text` is what is claimed, empty where the file could not be read; `details`, the traceback of a crash;
    `seconds`, how long it took."""

    name: str
    file: Path
    text: str
    state: State
    objections: tuple[Objection, ...] = ()
    details: str = ""
    seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """All objections; empty where it holds."""
        return "; ".join(objection.sentence for objection in self.objections)


_ORDER = (State.INTERRUPTED, State.UNTESTABLE, State.CRASHED, State.BROKEN, State.HOLDS)


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """Of the first state in the order 130, 2, 3, 1, 0 that any claim is in. There must be one claim at least."""
    states = {outcome.state for outcome in outcomes}
    return next(state.code for state in _ORDER if state in states)
