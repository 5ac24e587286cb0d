"""Loss over the number of kept nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from faithcheck.report.html import svg
from faithcheck.report.html.figure import numbers
from faithcheck.report.html.words import number

TOP, BOTTOM, RIGHT = 18.0, 44.0, 16.0
_LEFT = 46.0
TABLED = 24
"""So many curves have their numbers in the table; those of all are in the evidence."""


@dataclass(frozen=True)
class Curve:
    """`points`: float[size, 2 or more], size and loss. `class_` colours it, `name` is written beside it."""

    points: Any
    class_: str
    name: str = ""

    def known(self) -> list[tuple[float, float]]:
        """Finite, in order of size; the empty circuit cannot be on a log axis and is left out."""
        rows = [(float(row[0]), float(row[1])) for row in self.points]
        return sorted((size, loss) for size, loss in rows if size > 0 and 0 <= loss < float("inf"))


def table(curves: Sequence[tuple[str, Curve]], summary: str) -> Markup:
    """Every evaluated size of curves, each with a name: its nodes and loss, and where there are some its edges."""
    columns = max((len(curve.points[0]) for _, curve in curves if len(curve.points)), default=2)
    rows = [(name, *map(number, map(float, point))) for name, curve in curves[:TABLED] for point in curve.points]
    more = f", of the first {TABLED} of {len(curves)} curves" if len(curves) > TABLED else ""
    return numbers(f"{summary}{more}", ("Curve", "Nodes", "Loss, nats", "Edges")[: columns + 1], rows)


@dataclass(frozen=True)
class Frame:
    """What charts of one kind share, so that they can be compared: their size, their axes and the target loss."""

    target: float
    width: float
    height: float
    x: svg.Scale
    y: svg.Scale

    @classmethod
    def around(cls, curves: Sequence[Curve], target: float, width: float, height: float) -> Frame:
        """Axes over all curves and the target. Raises ValueError where there is no point to draw."""
        points = [point for curve in curves for point in curve.known()]
        if not points:
            raise ValueError("no evaluated size")
        sizes, losses = zip(*points, strict=True)
        levels = [target] if target > 0 else []
        floor = (target if target > 0 else 0.1) / 10
        low, high = svg.log_span([max(value, floor) for value in (*losses, *levels)])
        x = svg.Scale(*svg.log_span(sizes), _LEFT, width - RIGHT, True)
        return cls(target, width, height, x, svg.Scale(low, high, height - BOTTOM, TOP, True))

    def draw(self, curves: Sequence[Curve], extra: Sequence[Markup], label: str) -> Markup:
        bottom = self.height - BOTTOM
        parts = svg.x_axis(self.x, bottom, TOP, "nodes kept", 4 if self.width > 300 else 2)
        parts += svg.y_axis(self.y, _LEFT, self.width - RIGHT)
        parts.append(svg.text(_LEFT - 40, 9, "loss, nats", "axis"))
        parts += self._target()
        if any(loss < self.y.low for curve in curves for _, loss in curve.known()):
            parts.append(svg.text(_LEFT + 4, bottom - 4, "on this edge: lower losses", "tick halo"))
        parts += [svg.path([(self.x(a), self.y(b)) for a, b in c.known()], f"curve {c.class_}") for c in curves]
        parts += self._names([curve for curve in curves if curve.name and curve.known()])
        return svg.picture(self.width, self.height, label, [*parts, *extra])

    def _target(self) -> list[Markup]:
        """A named line across, and what lies below it shaded."""
        y, right, bottom = self.y(self.target), self.width - RIGHT, self.height - BOTTOM
        return [
            svg.tag("rect", x=_LEFT, y=y, width=right - _LEFT, height=max(bottom - y, 0.0), class_="good"),
            svg.line(_LEFT, y, right, y, "target"),
            svg.text(_LEFT + 4, y + 12, f"target {number(self.target)}", "gatetext halo"),
        ]

    def _names(self, curves: Sequence[Curve]) -> list[Markup]:
        """Beside each curve, a little left of its middle: the first curve's name below it, the second's above."""
        parts = []
        for place, curve in enumerate(curves):
            x, y = self._along(curve.known(), 0.45)
            above = place % 2 == 1
            anchor = "start" if above or x < _LEFT + 60 else "end"
            away = 6 if anchor == "start" else -6
            parts.append(svg.text(x + away, y + (-8 if above else 16), curve.name, f"name {curve.class_} halo", anchor))
        return parts

    def _along(self, points: Sequence[tuple[float, float]], share: float) -> tuple[float, float]:
        """The place on a curve at a share of its width."""
        import numpy as np

        xs, ys = [self.x(size) for size, _ in points], [self.y(loss) for _, loss in points]
        x = xs[0] + share * (xs[-1] - xs[0])
        return x, float(np.interp(x, xs, ys))
