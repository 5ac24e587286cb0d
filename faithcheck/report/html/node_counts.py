"""How many nodes the task takes and how many its control, seed by seed."""

from __future__ import annotations

from markupsafe import Markup

from faithcheck.report.html import gating, svg
from faithcheck.report.html.figure import figure
from faithcheck.report.html.finding import Finding
from faithcheck.report.html.gated import FEW, row_height
from faithcheck.report.html.words import number, seed_name

WIDTH, LEFT, RIGHT, TOP = 384.0, 62.0, 84.0, 30.0


def node_counts(finding: Finding, name: str, words: str) -> Markup:
    """Nodes of every seed, for the task and for the control; the bar is where the control would have to lie."""
    task, control = finding.values("task_size"), finding.values(f"{name}_size")
    known = [v for v in (*task.values(), *control.values()) if v]
    factor = _factor(finding)
    asked = [factor * v for v in task.values() if v and factor]
    seeds, step = list(task), row_height(len(task))
    bottom = TOP + step * len(seeds) + 4
    scale = svg.Scale(*svg.log_span([*known, *asked] or [1.0, 10.0]), LEFT, WIDTH - RIGHT, True)
    parts = svg.x_axis(scale, bottom, TOP, "nodes at the target loss")
    for place, seed in enumerate(seeds):
        y = TOP + step * (place + 0.5) + 2
        if len(seeds) <= FEW:
            parts.append(svg.text(LEFT - 8, y + 4, seed_name(seed), "tick", "end"))
        parts += _pair(scale, y, step, task[seed], control.get(seed), factor)
    parts += [
        svg.text(LEFT, TOP - 12, "● task", "name circuit"),
        svg.text(LEFT + 56, TOP - 12, f"■ {words}", "name model"),
    ]
    reached = sum(value is not None for value in control.values())
    label = f"nodes for the task and for {words}, {len(seeds)} seeds; {reached} controls reached the target"
    shaded = f"; shaded: {number(factor)} times the task's nodes and more" if factor else ""
    said = f"the control reached the target for {reached} of {len(seeds)}{shaded}"
    caption = Markup("<b>How many nodes it takes</b> {}").format(said)
    return figure(svg.picture(WIDTH, bottom + 40, label, parts), caption)


def _pair(
    scale: svg.Scale, y: float, step: float, task: float | None, control: float | None, factor: float
) -> list[Markup]:
    parts, half = [], max(step / 2 - 1, 1.3)
    if task and factor:
        at = scale(task * factor)
        parts.append(svg.tag("rect", x=at, y=y - half, width=scale.end - at, height=2 * half, class_="good"))
        parts.append(svg.line(at, y - half, at, y + half, "gate"))
    if task and control:
        parts.append(svg.line(scale(task), y, scale(control), y, "link" if half > 4 else "link thin"))
    if task:
        parts.append(svg.tag("circle", cx=scale(task), cy=y, r=min(4.5, half), class_="mark circuit"))
    if control:
        s = min(4.0, half)
        parts.append(svg.tag("rect", x=scale(control) - s, y=y - s, width=2 * s, height=2 * s, class_="mark model"))
        ratio = f"{number(control / task)} ×" if task else ""
    else:
        ratio = "not reached"
    return [*parts, svg.text(scale.end + 6, y + 4, ratio, "tick")] if half > 4 else parts


def _factor(finding: Finding) -> float:
    """The bound of the gate on the ratio; 0 where the gate is of another form."""
    gate = next((entry.gate for entry in finding.metrics("size_ratio") if entry.gate), None)
    gate = gate or next(
        (c.gates.get("size_ratio") for c in finding.data.suite.checks if c.name == finding.entry.check), ""
    )
    parsed = gating.parsed(gate)
    return parsed.bound if parsed and parsed.op[0] == ">" else 0.0
