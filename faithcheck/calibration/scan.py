"""Which thresholds of a metric meet the requirements: verdicts change at the limits of intervals, and only there."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from faithcheck.calibration.rates import Outcome, figures
from faithcheck.calibration.records import Record
from faithcheck.calibration.settings import Setting, rejudge
from faithcheck.verdict import Verdict


@dataclass(frozen=True)
class Span:
    """Thresholds from `low` to `high`; None: without end."""

    low: float | None
    low_included: bool
    high: float | None
    high_included: bool

    def to_data(self) -> dict[str, Any]:
        return dict(vars(self))


def good_spans(
    records: Sequence[Record], metric: str, default: Setting, exercising: Collection[str]
) -> list[Span] | None:
    """The thresholds at which these records meet the requirements; `==` is scanned as `<=`.

    Verdicts change at the limits of intervals only, so one threshold at each limit and one between two stand for all.
    """
    op = "<=" if default.op == "==" else default.op
    movable = [_Movable(record, metric, op, default.from_target) for record in records]
    limits = sorted({limit for one in movable for limit in one.limits})
    judged = figures([one.outcome(default.value) for one in movable], exercising)
    if judged[0].met is None or judged[1].met is None:
        return None

    def good(value: float) -> bool:
        return all(figure.met is not False for figure in figures([o.outcome(value) for o in movable], exercising))

    return list(_joined([(span, good(value)) for span, value in _regions(limits)]))


class _Movable:
    """A record whose verdict is asked for at many thresholds: it is judged once between two of its own limits."""

    def __init__(self, record: Record, metric: str, op: str, from_target: bool):
        self._record, self._metric, self._op, self._from_target = record, metric, op, from_target
        self._known: dict[tuple[int, int], Verdict] = {}
        offset = record.target_loss if from_target else 0.0
        moved = [g.estimate for g in record.gated if g.metric == metric and record.by_gates]
        ends = {end - offset for estimate in moved for end in (estimate.low, estimate.high)}
        self.limits = sorted(end for end in ends if math.isfinite(end))

    def outcome(self, value: float) -> Outcome:
        place = bisect_left(self.limits, value), bisect_right(self.limits, value)
        if place not in self._known:
            setting = Setting(self._op, value, self._from_target)
            self._known[place] = rejudge(self._record, self._metric, setting)
        return Outcome(self._record.family, self._record.variant, self._known[place])


def _regions(limits: Sequence[float]) -> Iterator[tuple[Span, float]]:
    """Below the first limit, at it, between it and the next, and so on, each with a threshold inside."""
    if not limits:
        yield Span(None, False, None, False), 0.0
        return
    yield Span(None, False, limits[0], False), limits[0] - 1 - abs(limits[0])
    for low, high in zip(limits, [*limits[1:], None], strict=True):
        yield Span(low, True, low, True), low
        inside = low + 1 + abs(low) if high is None else (low + high) / 2
        if high is None or low < inside < high:
            yield Span(low, False, high, False), inside


def _joined(regions: Sequence[tuple[Span, bool]]) -> Iterator[Span]:
    """Neighbouring good regions as one."""
    start: Span | None = None
    for place, (span, is_good) in enumerate(regions):
        if is_good and start is None:
            start = span
        if start is not None and is_good and (place + 1 == len(regions) or not regions[place + 1][1]):
            yield Span(start.low, start.low_included, span.high, span.high_included)
            start = None
