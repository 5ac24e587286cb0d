"""The claim that a run tested again: what is claimed of each check, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faithcheck.result_schema import ClaimData, ResultData, VerdictName


@dataclass(frozen=True)
class ClaimView:
    """`rows`: check, verdict claimed, verdict found or None."""

    claim: ClaimData
    rows: Sequence[tuple[str, VerdictName, VerdictName | None]]

    @classmethod
    def of(cls, data: ResultData) -> ClaimView | None:
        if data.claim is None:
            return None
        found = {entry.check: entry.verdict for entry in data.checks}
        return cls(data.claim, [(name, claimed, found.get(name)) for name, claimed in data.claim.verdicts.items()])
