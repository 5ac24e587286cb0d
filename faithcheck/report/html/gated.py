"""A metric of every circuit against its gate: dots with whiskers, the side that passes shaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from faithcheck.gates import Gate
from faithcheck.report.html import gating, svg
from faithcheck.report.html.figure import figure
from faithcheck.report.html.gated_row import Row
from faithcheck.report.html.words import metric, number
from faithcheck.result_schema import MetricEntry
from faithcheck.text import visible

WIDTH, LEFT, RIGHT, TOP = 384.0, 62.0, 70.0, 24.0
FEW = 24
"""So many circuits have a labelled row each; more are thin rows in order of their estimate."""
_HIGH = 260.0
"""About how high a picture of many rows is."""
_LOG = 30.0
"""Where the largest value is so many times the smallest, the axis is logarithmic."""


def gated(
    entries: Sequence[MetricEntry],
    beside: Mapping[int | None, float] | None = None,
    names: str = "",
    whole: str = "all seeds",
) -> Markup:
    """The picture of one metric; `beside` is a second value for each seed, drawn hollow; `names` says "this|that";
    `whole` is what an entry without a seed is about."""
    other, few = beside or {}, len(entries) <= FEW
    rows = list(entries) if few else sorted(entries, key=_rank)
    step = row_height(len(rows))
    bottom = TOP + step * len(rows) + 6 + (14 if names else 0)
    gate = gating.parsed(next((entry.gate for entry in entries if entry.gate), None))
    scale = _scale(rows, gate, list(other.values()))
    parts = [gating.side(gate, scale, TOP, bottom)] if gate else []
    parts += svg.x_axis(scale, bottom, TOP)
    parts += [gating.bound(gate, scale, TOP, bottom)] if gate else []
    first = TOP + (20 if names else 6) + step / 2 - 3
    for place, entry in enumerate(rows):
        parts += Row(entry, scale, first + step * place, few, whole).draw(other.get(entry.seed))
    if names:
        parts += _names(names, rows[0], other.get(rows[0].seed), scale)
    if not few:
        said = (str(len(rows)), "circuits,", "in order")
        parts += [svg.text(LEFT - 8, TOP + 14 * (1 + at), line, "tick", "end") for at, line in enumerate(said)]
    return figure(svg.picture(WIDTH, bottom + 22, _label(entries), parts), _caption(entries[0]))


def row_height(rows: int) -> float:
    """Of a picture with a row for each circuit."""
    return 18.0 if rows <= FEW else max(2.4, min(6.0, _HIGH / rows))


def _scale(rows: Sequence[MetricEntry], gate: Gate | None, beside: Sequence[float]) -> svg.Scale:
    """Over the estimates and the gate; over the intervals as far as they do not squeeze these.

    From 0 on where nothing is below it and less is better.
    """
    core = [entry.estimate for entry in rows if entry.estimate is not None] + list(beside)
    core += [gate.bound] if gate else []
    core = core or [0.0, 1.0]
    limits = [limit for entry in rows for limit in (entry.low, entry.high) if limit is not None]
    if min(core) > 0 and max(core) / min(core) > _LOG:
        room = (max(core) / min(core)) ** 0.5
        above = [value for value in limits if value > 0]
        ends = max(min([*core, *above]), min(core) / room), min(max([*core, *limits]), max(core) * room)
        return svg.Scale(*svg.log_span(ends), LEFT, WIDTH - RIGHT, True)
    if gate and gate.op[0] == "<" and min(core) > 0:
        core.append(0.0)
    room = 0.6 * (max(core) - min(core)) or abs(core[0]) * 0.1 or 1.0
    ends = max(min([*core, *limits]), min(core) - room), min(max([*core, *limits]), max(core) + room)
    low, high = svg.span_of(ends)
    return svg.Scale(max(low, -0.04 * high) if ends[0] >= 0 else low, high, LEFT, WIDTH - RIGHT)


def _names(names: str, entry: MetricEntry, beside: float | None, scale: svg.Scale) -> list[Markup]:
    """The two names above the first row's two marks."""
    if entry.estimate is None or beside is None:
        return []
    this, that, y = *names.split("|"), TOP + 12
    a, b = scale(entry.estimate), scale(beside)
    if abs(a - b) < 70:
        said = f"{that} – {this}" if b <= a else f"{this} – {that}"
        return [svg.text((a + b) / 2, y, said, "tick", "middle")]
    return [svg.text(a, y, this, "tick", "middle"), svg.text(b, y, that, "tick", "middle")]


def _caption(entry: MetricEntry) -> Markup:
    about = metric(entry.name)
    on = Markup(" on <bdi>{}</bdi>").format(visible(entry.on)) if entry.on else ""
    name = Markup("<code>{}</code>{}").format(visible(entry.name), on)
    return Markup("<b>{}</b> {}").format(about[:1].upper() + about[1:], name) if about else name


def _label(entries: Sequence[MetricEntry]) -> str:
    """The picture in words."""
    known = [entry.estimate for entry in entries if entry.estimate is not None]
    spans = f"estimates {number(min(known))} to {number(max(known))}" if known else "no estimate"
    counts = [f"{sum(e.verdict == v for e in entries)} {v}" for v in dict.fromkeys(e.verdict for e in entries) if v]
    on, gate = (f" on {entries[0].on}" if entries[0].on else ""), entries[0].gate or "none"
    return f"{entries[0].name}{on}, gate {gate}: {spans}; {', '.join(counts) or 'no verdicts'}"


def _rank(entry: MetricEntry) -> float:
    return math.inf if entry.estimate is None else entry.estimate
