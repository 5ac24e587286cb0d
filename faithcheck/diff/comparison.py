"""Two results, compared: the whole of `faithcheck diff` but for its printing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from faithcheck.diff.compared import Compared, Move
from faithcheck.diff.measuring import compare
from faithcheck.diff.run import Run
from faithcheck.diff.settings import differences
from faithcheck.diff.shift import beyond
from faithcheck.diff.values import Name
from faithcheck.diff.verdicts import CheckChange, change_of


@dataclass(frozen=True)
class Comparison:
    """What differs. `gated` are the metrics with a gate, `reported` those without; `interrupted`: HEAD only was."""

    base: Run
    head: Run
    settings: Sequence[str]
    checks: Sequence[CheckChange]
    gated: Sequence[Compared]
    reported: Sequence[Compared]
    interrupted: bool

    @property
    def regressions(self) -> int:
        """Checks on tasks that got worse, and an interrupted run."""
        return sum(bool(change.regressions) for change in self.checks) + self.interrupted

    @property
    def is_empty(self) -> bool:
        """Whether no verdict and no metric differs; settings may."""
        moved = any(change.moved or change.regressions for change in self.checks) or self.interrupted
        return not moved and all(m.move is Move.SAME for m in (*self.gated, *self.reported)) and self._same_names

    @property
    def _same_names(self) -> bool:
        return set(self.base.names) == set(self.head.names)


def compare_runs(base: Run, head: Run) -> Comparison:
    """A metric moved beyond noise at 5 % for all gated ones together, and at 5 % for all others together."""
    found = [compare(name, base, head) for name in base.names if name in head.names]
    gated = _judged([compared for compared in found if compared.gate is not None])
    reported = _judged([compared for compared in found if compared.gate is None])
    checks = [
        change_of(task, check, base, head, [m for m in gated if (m.name.task, m.name.check) == key])
        for key in dict.fromkeys([*base.checks, *head.checks])
        for task, check in [key]
    ]
    interrupted = head.loaded.data.interrupted and not base.loaded.data.interrupted
    return Comparison(base, head, differences(base, head), checks, gated, reported, interrupted)


def _judged(found: Sequence[Compared]) -> list[Compared]:
    """What is alike is not tested. Those whose p counts ways to deal out seeds are counted by themselves: it has a
    least value, which among many other metrics would never do."""
    are_beyond: dict[Name, bool] = {}
    for counted in (False, True):
        tested = [(c.name, c.shift.p) for c in found if c.shift and not c.alike and c.shift.counted is counted]
        are_beyond |= dict(zip((name for name, _ in tested), beyond([p for _, p in tested]), strict=True))
    return [replace(compared, is_beyond=are_beyond.get(compared.name, False)) for compared in found]
