"""The gated metrics of a check, a picture each: what every check has, a stranger's too."""

from __future__ import annotations

from markupsafe import Markup

from faithcheck.report.html.figure import note, row
from faithcheck.report.html.finding import Finding
from faithcheck.report.html.gated import gated
from faithcheck.text import visible


def panels(finding: Finding) -> list[Markup]:
    """A picture for each gated metric, on each thing that it is about."""
    wanted = [entry for entry in finding.entry.metrics if entry.gate]
    groups = dict.fromkeys((entry.name, entry.on) for entry in wanted)
    return [_drawn(finding, name, on) for name, on in groups]


def _drawn(finding: Finding, name: str, on: str | None) -> Markup:
    try:
        return gated(finding.metrics(name, on), whole=finding.whole)
    except (ValueError, ArithmeticError):
        return note(f"{visible(name)}: its numbers are too far apart for a picture.")


def draw(finding: Finding) -> Markup:
    """Every gated metric; where nothing is gated, nothing."""
    return row(panels(finding))
