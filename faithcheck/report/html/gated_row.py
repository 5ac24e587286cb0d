"""One circuit's number in the picture of a gated metric."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from faithcheck.report.html import svg
from faithcheck.report.html.words import interval, number, seed_name
from faithcheck.result_schema import MetricEntry


@dataclass(frozen=True)
class Row:
    """At height `y`; only a labelled row says its seed, or `whole` where it has none, and its number."""

    entry: MetricEntry
    scale: svg.Scale
    y: float
    labelled: bool
    whole: str

    def draw(self, beside: float | None) -> list[Markup]:
        """`beside` is a second value, drawn hollow."""
        entry, y, parts = self.entry, self.y, []
        name = seed_name(entry.seed, self.whole)
        if self.labelled:
            parts.append(svg.text(self.scale.start - 8, y + 4, name, "tick", "end"))
        if entry.estimate is None:
            verdict = [svg.marker(self.scale.end + 16, y, entry.verdict, title=f"{name}: {entry.verdict}")]
            said = svg.text(self.scale.end, y + 4, "not reached →", "tick", "end")
            return [*parts, said, *(verdict if entry.verdict else [])]
        x = self.scale(entry.estimate)
        if beside is not None:
            parts.append(svg.line(self.scale(beside), y, x, y, "link"))
            parts.append(svg.tag("circle", cx=self.scale(beside), cy=y, r=4.0, class_="mark beside"))
        parts += self._whisker()
        about = f"{name}: {number(entry.estimate)} {interval(entry) and f'[{interval(entry)}]'}"
        parts.append(svg.marker(x, y, entry.verdict, 4.5 if self.labelled else 2.2, f"{about} {entry.verdict or ''}"))
        if self.labelled:
            parts.append(svg.text(self.scale.end + 10, y + 4, number(entry.estimate), "value"))
        return parts

    def _whisker(self) -> list[Markup]:
        """The interval, with an arrow head where it goes on beyond the picture."""
        entry, scale, y = self.entry, self.scale, self.y
        if entry.low is not None and entry.low == entry.high:
            return []
        low, high = (-math.inf if entry.low is None else entry.low), (math.inf if entry.high is None else entry.high)
        verdict = entry.verdict or "NONE"
        parts = [svg.line(scale(low), y, scale(high), y, f"whisker v-{verdict}{'' if self.labelled else ' thin'}")]
        for beyond, x, tip in ((low < scale.low, scale.start, -5), (high > scale.high, scale.end, 5)):
            if beyond and self.labelled:
                d = f"M{x:.1f} {y - 4:.1f}l{tip} 4l{-tip} 4z"
                parts.append(svg.tag("path", d=d, class_=f"arrow v-{verdict}"))
        return parts
