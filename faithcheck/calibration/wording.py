"""Rates and thresholds in plain words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from faithcheck.calibration.calibration import Calibration
from faithcheck.calibration.rates import (
    DECOYS_PASSED,
    FAILED_ELSEWHERE,
    TRUE_FAILED,
    TRUE_INCONCLUSIVE,
    Figure,
)
from faithcheck.calibration.requirements import Requirement
from faithcheck.calibration.scan import Span
from faithcheck.calibration.thresholds import Thresholds


def findings(calibration: Calibration) -> list[str]:
    """What needs to be said in words: figures missed or not measured, false PASSes, checks that were not exercised."""
    lines = [line for requirement in calibration.requirements for line in _missed(requirement)]
    for check in calibration.exercised:
        passed = [r for r in calibration.passed_decoys if r.check == check.name]
        for family in dict.fromkeys(record.family for record in passed):
            seeds = ", ".join(str(record.seed) for record in passed if record.family == family)
            lines.append(f"{check.name} passed the decoy of {family}, which exercises it, on the seeds {seeds}.")
    idle = [check.name for check in calibration.checks if check not in calibration.exercised]
    if idle:
        lines.append(f"No family exercises {', '.join(idle)}.")
    if calibration.asked["checks"] is None:
        lines += _unknown_checks(calibration)
    return lines


def figure_text(figure: Figure) -> str:
    if figure.met is None:
        return "not measured"
    return f"{figure.rate.text}: {'met' if figure.met else '**missed**'}"


def limit_text(figure: Figure) -> str:
    return f"at most {figure.limit * 100:g} %" if figure.limit else "none"


_DOES = {
    DECOYS_PASSED: "passes decoys of families that exercise it",
    TRUE_FAILED: "fails true circuits of families that exercise it",
    TRUE_INCONCLUSIVE: "is inconclusive on true circuits of families that exercise it",
    FAILED_ELSEWHERE: "fails true circuits of other families",
}


_OF = {
    DECOYS_PASSED: "decoys of families that exercise it",
    TRUE_FAILED: "true circuits of families that exercise it",
    FAILED_ELSEWHERE: "true circuits of other families",
}


def _missed(requirement: Requirement) -> Iterator[str]:
    check = requirement.check
    for figure in requirement.figures:
        if figure.met is None:
            yield f"Not measured: whether {check} {_DOES[figure.name]}."
        elif not figure.met:
            yield f"Missed: {check} {_DOES[figure.name]}: {figure.rate.text}. Required: {limit_text(figure)}."
        if figure.unjudged and figure.name in _OF:
            of = f"{figure.unjudged} of {figure.rate.n + figure.unjudged} {_OF[figure.name]}"
            yield f"{check} did not apply to {of}, or crashed there."


def _unknown_checks(calibration: Calibration) -> Iterator[str]:
    known = {check.name for check in calibration.checks}
    for family in calibration.families:
        unknown = [name for name in family.exercises if name not in known]
        if unknown:
            yield f"{family.name} exercises {', '.join(unknown)}, which is not installed."


def good_text(table: Thresholds) -> str:
    """The line below a table of thresholds."""
    if table.good is None:
        return "No threshold can be chosen: on the half to choose on, too few decoys or true circuits were judged."
    op = "<=" if table.default.op == "==" else table.default.op
    bound = f"`{op} {'target_loss + v' if table.default.from_target else 'v'}`"
    if not table.good:
        return f"On the half to choose on, no threshold meets the requirements: of {bound}, none does."
    spans = " or ".join(_span(span) for span in table.good)
    return f"On the half to choose on, the requirements are met by {bound} with {spans}."


def _span(span: Span) -> str:
    """Limits are rounded inwards, so that what is written down is good too."""
    low = f"v {'at least' if span.low_included else 'above'} {_rounded(span.low, math.ceil)}"
    high = f"{'at most' if span.high_included else 'below'} {_rounded(span.high, math.floor)}"
    if span.low is None:
        return "any v" if span.high is None else f"v {high}"
    if span.low == span.high:
        return f"v exactly {span.low!r}"
    return low if span.high is None else f"{low} and {high}"


def _rounded(value: float | None, how: Callable[[float], int]) -> str:
    """Four digits, up or down as told."""
    if value is None or value == 0:
        return "0"
    scale = 10.0 ** (3 - math.floor(math.log10(abs(value))))
    return f"{how(value * scale) / scale:.4g}"
