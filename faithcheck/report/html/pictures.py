"""Which picture shows which check, and what stands in its place where it cannot be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from markupsafe import Markup

from faithcheck.report.beside import traceback_of
from faithcheck.report.html import attention, generalization, layernorm, node_roles, panels, size_ratio, sufficiency
from faithcheck.report.html.figure import note, row
from faithcheck.report.html.finding import Finding
from faithcheck.report.reading import EvidenceLost
from faithcheck.text import visible

PICTURES: Mapping[str, Callable[[Finding], Markup]] = {
    "sufficiency": sufficiency.draw,
    "nonsense_control": size_ratio.draw,
    "random_weights": size_ratio.draw,
    "attention_agreement": attention.draw,
    "node_roles": node_roles.draw,
    "generalization": generalization.draw,
    "layernorm": layernorm.draw,
}


def draw(finding: Finding) -> Markup:
    """The pictures of a check. What its evidence cannot show is said there, and its gated metrics are drawn alone."""
    entry = finding.entry
    if entry.verdict == "ERROR":
        traceback = Markup("<details><summary>Traceback</summary><pre>{}</pre></details>")
        ran = note("The check ended in an error, so there is nothing to draw.")
        return ran + traceback.format(visible(traceback_of(finding.loaded, entry)))
    if entry.verdict == "NOT_APPLICABLE" and not entry.metrics:
        return note("The check does not apply here, so there is nothing to draw.")
    try:
        return PICTURES.get(entry.check, panels.draw)(finding)
    except EvidenceLost as lost:
        said = f"The evidence is not at hand: {visible(str(lost))}. Drawn from result.json alone:"
    except (KeyError, IndexError, ValueError, TypeError, ArithmeticError) as error:
        said = (
            f"The evidence is not of the form that this version draws ({visible(repr(error))}). From result.json alone:"
        )
    return note(said) + row(panels.panels(finding))
