"""Results of claims: what counts there is that each claimed verdict is the one found, whatever verdict that is."""

from __future__ import annotations

from faithcheck.result_schema import CheckResult, ClaimData


def as_claimed(claim: ClaimData | None, check: CheckResult) -> bool:
    return claim is not None and claim.verdicts.get(check.check) == check.verdict
