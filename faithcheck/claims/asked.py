"""What a suite asks of the checks that are claimed: a gate that was loosened must not make a claim hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from faithcheck.claims.claim import Asked, LoadedClaim
from faithcheck.claims.judging import Objection
from faithcheck.marked_yaml import KeyPath
from faithcheck.result_schema import MethodData, SuiteData

if TYPE_CHECKING:
    from faithcheck.references import ResolvedMethod

_OF_METHODS = ("seeds", "method")
"""What only a check of the method depends on: a given circuit is tested by itself."""


def asked_of(suite: SuiteData, method: MethodData | None) -> Asked:
    """From the `suite` and `method` of a result."""
    return Asked(
        target_loss=suite.target_loss,
        loss=suite.loss,
        checks={check.name: {**check.parameters, "gates": check.gates} for check in suite.checks},
        seeds=suite.seeds,
        method=None if method is None else {method.name: method.parameters},
    )


def depends_on_method(suite: SuiteData, names: Mapping[str, Any]) -> bool:
    """Whether one of the checks `names` is of the method."""
    return any(check.scope == "method" for check in suite.checks if check.name in names)


def suite_changes(
    claim: LoadedClaim, settings: Mapping[str, Any], method: ResolvedMethod | None
) -> Iterator[Objection]:
    """One for each thing that the suite of a run asks otherwise than when it was claimed, and that a claimed verdict
    depends on."""
    if claim.claim.asked is None:
        return
    suite, claimed = SuiteData.model_validate(dict(settings)), claim.claim.verdicts
    extractor = None if method is None else MethodData(name=method.ref, parameters=dict(method.parameters))
    now = asked_of(suite, extractor)
    then, found = (dict(_leaves(asked.model_dump(mode="json"))) for asked in (claim.claim.asked, now))
    unused = () if depends_on_method(suite, claimed) else _OF_METHODS
    for path in dict.fromkeys([*then, *found]):
        counts = path[1] in claimed if path[0] == "checks" else path[0] not in unused
        if counts and then.get(path) != found.get(path):
            was, is_now = (_said(leaves.get(path)) for leaves in (then, found))
            said = f"the suite asks something else than claimed: {'.'.join(map(str, path))} was {was} and is {is_now}"
            yield Objection(said, claim.location("asked", *path))


def _leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """(path, value) of all in nested mappings that is no mapping, or an empty one."""
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, (*path, key))


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value)
