"""sufficiency: how the loss falls with the size of the circuit, and which size was chosen."""

from __future__ import annotations

from markupsafe import Markup

from faithcheck.report.html import svg
from faithcheck.report.html.curves import Curve, Frame, table
from faithcheck.report.html.figure import figure, row
from faithcheck.report.html.finding import Finding
from faithcheck.report.html.panels import panels
from faithcheck.report.html.words import number, seed_name


def draw(finding: Finding) -> Markup:
    seeds = finding.seeds("curve")
    if not seeds:
        return row(panels(finding))
    curves = [(seed_name(seed), Curve(finding.tensor(seed, "curve"), "circuit faint")) for seed in seeds]
    drawn = _curves(finding, [curve for _, curve in curves])
    return row([drawn, *panels(finding)]) + table(curves, "Every size that was evaluated")


def _curves(finding: Finding, curves: list[Curve]) -> Markup:
    target = finding.data.suite.target_loss
    frame = Frame.around(curves, target, 384, 260)
    chosen = [c for c in finding.circuits if c.size > 0 and c.loss is not None]
    dots = []
    for circuit in chosen:
        x, y = frame.x(circuit.size), frame.y(circuit.loss or 0.0)
        about = f"{seed_name(circuit.seed)}: {circuit.size} nodes, loss {number(circuit.loss)}"
        dots.append(_dot(x, y, about) if circuit.reached else svg.marker(x, y, "FAIL", 4, about))
    label = f"loss on validation prompts over circuit size, {len(curves)} circuits; target {number(target)} nats"
    caption = Markup("<b>Loss over size</b> on validation prompts; a line for each circuit; ● the size that was chosen")
    if any(not circuit.reached for circuit in chosen):
        caption += Markup(", × where the target was missed")
    return figure(frame.draw(curves, dots, label), caption)


def _dot(x: float, y: float, title: str) -> Markup:
    return svg.tag("circle", svg.tag("title", title), cx=x, cy=y, r=4.0, class_="mark circuit")
