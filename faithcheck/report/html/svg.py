"""Elements of SVG as safe markup, and scales from data to places. Colours come from the classes in report.css."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from faithcheck.report.html.words import number
from faithcheck.text import visible

Attribute = str | float | None


def tag(name: str, *children: str, **attributes: Attribute) -> Markup:
    """An element; `class_` and `font_size` stand for class and font-size, None leaves an attribute out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(child if isinstance(child, Markup) else escape(visible(child)) for child in children)
    return Markup(f"<{name}{given}>{inside}</{name}>" if inside else f"<{name}{given}/>")


def picture(width: float, height: float, label: str, parts: Iterable[Markup]) -> Markup:
    """An image of its natural size, which shrinks with a narrow window; `label` says in words what it shows."""
    return tag(
        "svg", *parts, viewBox=f"0 0 {width:g} {height:g}", width=width, height=height, role="img", aria_label=label
    )


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "start", **more: Attribute) -> Markup:
    return tag("text", content, x=x, y=y, class_=class_ or None, text_anchor=anchor, **more)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    return tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)


def marker(x: float, y: float, verdict: str | None, size: float = 4.5, title: str = "") -> Markup:
    """A dot for PASS, a cross for FAIL, an open diamond for INCONCLUSIVE, an open circle for what has no gate."""
    inside = [tag("title", title)] if title else []
    class_ = f"mark v-{verdict or 'NONE'}"
    if verdict == "FAIL":
        s = size * 0.85
        d = f"M{x - s:.1f} {y - s:.1f}L{x + s:.1f} {y + s:.1f}M{x - s:.1f} {y + s:.1f}L{x + s:.1f} {y - s:.1f}"
        return tag("path", *inside, d=d, class_=f"{class_} cross")
    if verdict == "INCONCLUSIVE":
        s = size * 1.25
        d = f"M{x:.1f} {y - s:.1f}l{s:.1f} {s:.1f}l{-s:.1f} {s:.1f}l{-s:.1f} {-s:.1f}z"
        return tag("path", *inside, d=d, class_=f"{class_} open")
    return tag("circle", *inside, cx=x, cy=y, r=size, class_=class_ if verdict == "PASS" else f"{class_} open")


@dataclass(frozen=True)
class Scale:
    """Places of values between `start` and `end`; values outside [low, high] lie on the nearer end."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (self._on_axis(v) for v in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, about: int = 4) -> list[float]:
        """Round numbers inside the scale, about so many."""
        return _decades(self.low, self.high, about) if self.log else _round_steps(self.low, self.high, about)

    def _on_axis(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.log else value


def x_axis(scale: Scale, y: float, top: float, title: str = "", about: int = 4) -> list[Markup]:
    """Ticks below y with hairlines up to `top`, and a title below them."""
    parts = []
    for tick in scale.ticks(about):
        parts += [
            line(scale(tick), top, scale(tick), y, "hair"),
            text(scale(tick), y + 15, number(tick), "tick", "middle"),
        ]
    if title:
        parts.append(text((scale.start + scale.end) / 2, y + 32, title, "axis", "middle"))
    return parts


def y_axis(scale: Scale, x: float, right: float, about: int = 4) -> list[Markup]:
    """Ticks left of x with hairlines to `right`."""
    parts = []
    for tick in scale.ticks(about):
        parts += [
            line(x, scale(tick), right, scale(tick), "hair"),
            text(x - 6, scale(tick) + 4, number(tick), "tick", "end"),
        ]
    return parts


def span_of(values: Sequence[float], margin: float = 0.08) -> tuple[float, float]:
    """Least and greatest, a little wider; never empty."""
    low, high = min(values), max(values)
    room = (high - low) * margin or abs(high) * 0.1 or 1.0
    return low - room, high + room


def log_span(values: Sequence[float]) -> tuple[float, float]:
    """The same for a log axis, of values > 0."""
    low, high = min(values), max(values)
    room = max((high / low) ** 0.06, 1.1)
    return low / room, high * room


def _round_steps(low: float, high: float, about: int) -> list[float]:
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.99)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def _decades(low: float, high: float, about: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors, most in (((1, 2, 3, 5, 7), about), ((1, 2, 5), about + 2), ((1, 3), about + 2), ((1,), about + 2)):
        ticks = [f * 10.0**p for p in powers for f in factors if low * 0.999 <= f * 10.0**p <= high * 1.001]
        if len(ticks) <= most:
            return ticks
    every = math.ceil(len(ticks) / (about + 1))
    return ticks[::every]


def _value(value: Attribute) -> str:
    if isinstance(value, (int, float)):
        return f"{value:.1f}".removesuffix(".0")
    return escape(visible(str(value)))
