"""generalization: over the seeds, how much more often a circuit contradicts the model on a shift."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from faithcheck.gates import Gate
from faithcheck.report.html import gating, svg
from faithcheck.report.html.figure import figure, row
from faithcheck.report.html.finding import Finding
from faithcheck.report.html.gated import FEW, gated
from faithcheck.report.html.words import number, seed_name
from faithcheck.text import visible

WIDTH, LEFT, RIGHT, TOP, HEIGHT = 384.0, 18.0, 18.0, 30.0, 150.0


def draw(finding: Finding) -> Markup:
    pictures = []
    for shift in finding.ons("disagreement_gap"):
        pictures += [_histogram(finding, shift), gated(finding.metrics("disagreement_gap", shift), whole=finding.whole)]
        if accuracy := finding.metrics("accuracy_gap", shift):
            pictures.append(gated(accuracy, whole=finding.whole))
    return row(pictures)


def _histogram(finding: Finding, shift: str | None) -> Markup:
    """A square for each circuit, stacked where circuits agree."""
    entries = [entry for entry in finding.metrics("disagreement_gap", shift) if entry.estimate is not None]
    values = [entry.estimate or 0.0 for entry in entries]
    gate = gating.parsed(next((entry.gate for entry in entries if entry.gate), None))
    few = len(entries) <= FEW
    side, bottom = (18.0 if few else 11.0), TOP + HEIGHT
    scale = svg.Scale(*svg.span_of([*values, -0.1, 0.5, gate.bound if gate else 0.0]), LEFT, WIDTH - RIGHT)
    parts = svg.x_axis(scale, bottom, TOP, "share contradicted: on the shift, minus on held-out prompts")
    if gate:
        parts = [gating.side(gate, scale, TOP, bottom), *parts, gating.bound(gate, scale, TOP, bottom)]
    heights: dict[int, int] = {}
    start, columns = _columns(values, gate, scale, side)
    tallest = max(map(columns.count, columns), default=1)
    rise = min(side, HEIGHT / tallest)
    for entry, column in zip(entries, columns, strict=True):
        level = heights[column] = heights.get(column, 0) + 1
        x, y = start + column * side, bottom - level * rise
        about = svg.tag("title", f"{seed_name(entry.seed)}: {number(entry.estimate)}")
        box = {
            "x": x + 0.75,
            "y": y + 0.75,
            "width": side - 1.5,
            "height": max(rise - 1.5, 1.0),
            "rx": side / 2 if entry.verdict == "PASS" else 2.0,
        }
        parts.append(svg.tag("rect", about, class_=f"mark box v-{entry.verdict or 'NONE'}", **box))
        if few and entry.seed is not None:
            parts.append(
                svg.text(x + side / 2, y + rise / 2 + 4, str(entry.seed), f"inbox v-{entry.verdict}", "middle")
            )
    label = f"histogram over {len(entries)} circuits of the disagreement gap on {shift}"
    return figure(svg.picture(WIDTH, bottom + 40, label, parts), _caption(finding, shift, len(entries)))


def _columns(values: Sequence[float], gate: Gate | None, scale: svg.Scale, side: float) -> tuple[float, list[int]]:
    """Where column 0 starts, and the column of each value: none lies on both sides of the gate's bound."""
    bound, op = (gate.bound, gate.op) if gate else (0.0, ">=")
    wide = side * (scale.high - scale.low) / (scale.end - scale.start)
    start = -0.5 if op == "==" else 0.0
    places = [(value - bound) / wide - start for value in values]
    after = op in ("<=", ">")
    return scale(bound) + start * side, [math.ceil(place) - 1 if after else math.floor(place) for place in places]


def _caption(finding: Finding, shift: str | None, circuits: int) -> Markup:
    share = finding.values("generalizing_seeds", shift).get(None)
    said = "a square for each circuit" + (", with its seed" if circuits <= FEW else "") + ", round where it passes"
    said += f"; {round(share * circuits)} of {circuits} estimates within the gate" if share is not None else ""
    missing = len(finding.metrics("disagreement_gap", shift)) - circuits
    said += f"; {missing} without an estimate" if missing else ""
    return Markup("<b>Contradicts the model on <bdi>{}</bdi></b> {}").format(visible(shift or "the shift"), said)
