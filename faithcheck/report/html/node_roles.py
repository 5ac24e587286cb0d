"""node_roles: does the activation of a kept node go with the model's, and does the node matter?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from faithcheck.report.html import svg
from faithcheck.report.html.figure import figure, heading, multiples, row
from faithcheck.report.html.finding import Finding
from faithcheck.report.html.panels import panels
from faithcheck.report.html.room import Room
from faithcheck.report.html.viewer_roles import KINDS, kinds
from faithcheck.report.html.words import number, percent, seed_name
from faithcheck.thresholds import MATTERS

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 284.0, 236.0, 40.0, 14.0, 18.0, 44.0
LEAST = 1e-4
"""Shares of importance below this lie on the edge of the picture."""
TENSORS = ("consistent", "swapped", "flips", "vanishes")
MARKS = "●◌○▼◆"


def draw(finding: Finding) -> Markup:
    shown = row(panels(finding))
    seeds = [seed for seed in finding.seeds("r") if finding.tensor(seed, "r").size]
    if not seeds:
        return shown
    scatters = [_scatter(finding, seed) for seed in seeds]
    title = heading("Every kept node: correlation r with its activation in the model, over its share of the importance")
    return shown + title + _key() + multiples(scatters, "circuits")


def _key() -> Markup:
    marks = [
        Markup('<span class="k{}">{} {}</span> ').format(place, mark, kind)
        for place, (mark, kind) in enumerate(zip(MARKS, KINDS, strict=True))
    ]
    said = f"right of the dashed line, {percent(MATTERS)}, a node matters by itself; on the left edge: {LEAST} and less"
    return Markup('<p class="key">{}<span>{}</span></p>').format(Markup("").join(marks), said)


@dataclass(frozen=True)
class _Nodes:
    """Of the nodes that matter most: share of importance, correlation, and place in KINDS; how many were left out."""

    share: Any
    r: Any
    kind: Any
    left_out: int

    @classmethod
    def of(cls, finding: Finding, seed: int | None) -> _Nodes:
        import numpy as np

        importance = np.nan_to_num(np.asarray(finding.tensor(seed, "importance"), np.float64))
        kind = kinds({name: finding.tensor(seed, name) for name in TENSORS}, importance)
        order = np.argsort(-importance, kind="stable")[: Room.of(finding.data).marks]
        share = importance / max(importance.sum(), np.finfo(np.float64).tiny)
        r = np.nan_to_num(np.asarray(finding.tensor(seed, "r"), np.float64))
        return cls(share[order], r[order], kind[order], len(importance) - len(order))


def _scatter(finding: Finding, seed: int | None) -> Markup:
    nodes = _Nodes.of(finding, seed)
    bottom = HEIGHT - BOTTOM
    x = svg.Scale(LEAST * 0.9, 1.1, LEFT, WIDTH - RIGHT, True)
    y = svg.Scale(-1.08, 1.08, bottom, TOP)
    parts = [*svg.x_axis(x, bottom, TOP, "share of the importance", 3), *svg.y_axis(y, LEFT, WIDTH - RIGHT)]
    parts.append(svg.text(LEFT - 24, 9, "r, correlation", "axis"))
    parts.append(svg.line(x(MATTERS), TOP, x(MATTERS), bottom, "threshold"))
    for share, r, kind in sorted(zip(nodes.share, nodes.r, nodes.kind, strict=True), key=lambda node: node[2]):
        parts.append(_mark(x(max(share, LEAST)), y(r), int(kind)))
    counts = [f"{int((nodes.kind == place).sum())} {kind}" for place, kind in enumerate(KINDS)]
    label = f"{seed_name(seed)}: correlation over importance of {len(nodes.r)} nodes; {', '.join(counts)}"
    more = f", {number(nodes.left_out)} that matter least left out" if nodes.left_out else ""
    said = f"{len(nodes.r)} nodes{more}: {int((nodes.kind == 3).sum())} opposite, {int((nodes.kind == 4).sum())} vanish"
    caption = Markup("<b>{}</b> <small>{}</small>").format(seed_name(seed), said)
    return figure(svg.picture(WIDTH, HEIGHT, label, parts), caption)


def _mark(x: float, y: float, kind: int) -> Markup:
    if kind == 3:
        return svg.tag("path", d=f"M{x - 4:.1f} {y - 3:.1f}h8l-4 7z", class_="node k3")
    if kind == 4:
        return svg.tag("path", d=f"M{x:.1f} {y - 4:.1f}l4 4l-4 4l-4 -4z", class_="node k4")
    return svg.tag("circle", cx=x, cy=y, r=3.3 if kind == 1 else 2.6, class_=f"node k{kind}")
