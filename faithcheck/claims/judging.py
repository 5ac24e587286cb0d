"""Claimed verdicts beside those that a run gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from faithcheck.claims.claim import LoadedClaim
from faithcheck.errors import Location
from faithcheck.verdict import JUDGED, Verdict


@dataclass(frozen=True)
class Objection:
    """Why a claim does not hold, in a sentence, and the place in its file that it is about.

    `crashed`: it is a check that raised, so that nothing is known.
    """

    sentence: str
    location: Location
    crashed: bool = False


def objections(claim: LoadedClaim, checks: Sequence[Mapping[str, Any]]) -> list[Objection]:
    """One for each claimed verdict that is not the one found; `checks` as result.json has them."""
    found = {check["check"]: check for check in checks}
    return [
        _objection(claim, name, Verdict(claimed), found.get(name))
        for name, claimed in claim.claim.verdicts.items()
        if name not in found or found[name]["verdict"] != claimed
    ]


def _objection(claim: LoadedClaim, name: str, claimed: Verdict, check: Mapping[str, Any] | None) -> Objection:
    place = claim.location("verdicts", name)
    if check is None:
        return Objection(f"{name}: {claimed} was claimed, and the run gave no verdict", place)
    verdict = Verdict(check["verdict"])
    if verdict is Verdict.ERROR:
        return Objection(f"{name}: the check raised; {check['reason']}", place, crashed=True)
    seen = f"{verdict} found{_way(claimed, verdict)}"
    return Objection(f"{name}: {claimed} was claimed, {seen}: {check['reason']}", place)


def _way(claimed: Verdict, found: Verdict) -> str:
    if found not in JUDGED:
        return ""
    better = JUDGED.index(found) < JUDGED.index(claimed)
    return ", which is better than claimed" if better else ", which is worse"
