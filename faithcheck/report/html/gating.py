"""A gate in a picture: the side that passes shaded, the bound a line."""

from __future__ import annotations

from markupsafe import Markup

from faithcheck.gates import Gate
from faithcheck.report.html import svg
from faithcheck.report.html.words import gate_text


def parsed(gate: str | None) -> Gate | None:
    """A metric's gate; None where it has none, or one that this version cannot read."""
    try:
        return Gate.parse(gate) if gate else None
    except ValueError:
        return None


def side(gate: Gate, scale: svg.Scale, top: float, bottom: float) -> Markup:
    """What passes; for == a narrow strip."""
    at = scale(gate.bound)
    start, end = {"<": (scale.start, at), ">": (at, scale.end)}.get(gate.op[0], (at - 4, at + 4))
    return svg.tag("rect", x=start, y=top, width=max(end - start, 0.0), height=bottom - top, class_="good")


def bound(gate: Gate, scale: svg.Scale, top: float, bottom: float) -> Markup:
    """The line of the bound, with the gate written above it."""
    at, room = scale(gate.bound), 40
    anchor = "start" if at < scale.start + room else "end" if at > scale.end - room else "middle"
    said = svg.text(at, top - 8, f"passes {gate_text(gate.resolved)}", "gatetext", anchor)
    return svg.line(at, top, at, bottom, "gate") + said
