"""The five verdicts and how several make one."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    ERROR = "ERROR"


_WORST_FIRST = (Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of the applicable verdicts (ERROR > FAIL > INCONCLUSIVE > PASS).

    NOT_APPLICABLE where nothing applies, so that nothing at all is never a PASS.
    """
    seen = set(verdicts)
    return next((v for v in _WORST_FIRST if v in seen), Verdict.NOT_APPLICABLE)
