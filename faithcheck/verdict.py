"""The five verdicts and how several make one."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What a check says. Only PASS is a pass."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    ERROR = "ERROR"


JUDGED = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)
"""What a check comes to where it has something to judge, from the best to the worst."""
WORST_FIRST = (Verdict.ERROR, *reversed(JUDGED))
"""Those that apply."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of the applicable verdicts (ERROR > FAIL > INCONCLUSIVE > PASS).

    NOT_APPLICABLE where nothing applies, so that nothing at all is never a PASS.
    """
    seen = set(verdicts)
    return next((v for v in WORST_FIRST if v in seen), Verdict.NOT_APPLICABLE)


def of_run(verdicts: Iterable[Verdict], interrupted: bool) -> Verdict:
    """Of a run, by its checks: one that was interrupted is INCONCLUSIVE at best."""
    return worst([*verdicts, Verdict.INCONCLUSIVE] if interrupted else verdicts)


def exit_code(verdict: Verdict, interrupted: bool = False, allow_inconclusive: bool = False) -> int:
    """Of a run: 0 all gates passed, 1 a gate failed, 3 something crashed, 4 inconclusive or nothing applicable, 130
    interrupted."""
    if interrupted:
        return 130
    lenient = 0 if allow_inconclusive else 4
    return {Verdict.ERROR: 3, Verdict.FAIL: 1, Verdict.PASS: 0}.get(verdict, lenient)
