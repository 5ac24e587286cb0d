"""A log-log plot as SVG, readable on light and on dark pages."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 70, 215, 20, 50
COLOURS = ("#0969da", "#1a7f37", "#bc4c00", "#8250df")
STYLE = """<style>
text { font: 13px sans-serif; fill: #424a53 } .grid { stroke: #8c959f; stroke-opacity: .35 }
@media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } .line { filter: brightness(1.35) } }
</style>"""
Series = Mapping[str, Sequence[tuple[float, float]]]


def svg(series: Series, across: str, up: str) -> str:
    """Named lines of (x, y), both axes logarithmic: x ticks at the x values, y ticks at powers of ten."""
    xs = sorted({x for line in series.values() for x, _ in line})
    ys = [y for line in series.values() for _, y in line]
    bottom, top = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def place(x: float, y: float) -> tuple[float, float]:
        right = math.log(x / xs[0]) / math.log(xs[-1] / xs[0])
        high = (math.log10(y) - bottom) / (top - bottom)
        return LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - high * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">', STYLE]
    parts += [_down(place(x, 10**top), place(x, 10**bottom), f"{x:g}") for x in xs]
    parts += [_along(place(xs[0], 10**p), place(xs[-1], 10**p), f"{10.0**p:g}") for p in range(bottom, top + 1)]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, "middle"))
    parts.append(_text(-HEIGHT / 2, 18, up, "middle", ' transform="rotate(-90)"'))
    heights = _apart([place(*line[-1])[1] for line in series.values()])
    for (name, line), colour, height in zip(series.items(), COLOURS, heights, strict=False):
        parts += _line([place(*point) for point in line], colour)
        parts.append(_text(WIDTH - RIGHT + 12, height + 4, name, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _apart(heights: Sequence[float], gap: float = 17) -> list[float]:
    """Label heights in the lines' order, moved down where two would overlap."""
    placed = list(heights)
    order = sorted(range(len(placed)), key=placed.__getitem__)
    for above, below in itertools.pairwise(order):
        placed[below] = max(placed[below], placed[above] + gap)
    return placed


def _line(points: Sequence[tuple[float, float]], colour: str) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle class="line" cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
    return [f'<polyline class="line" points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def _down(top: tuple[float, float], foot: tuple[float, float], label: str) -> str:
    return _grid(top, foot) + _text(foot[0], foot[1] + 18, label, "middle")


def _along(left: tuple[float, float], right: tuple[float, float], label: str) -> str:
    return _grid(left, right) + _text(left[0] - 8, left[1] + 4, label, "end")


def _grid(a: tuple[float, float], b: tuple[float, float]) -> str:
    return f'<line class="grid" x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{text}</text>'
