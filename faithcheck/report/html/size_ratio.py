"""nonsense_control and random_weights: loss over size for the task beside loss over size for its control."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from faithcheck.report.html.curves import Curve, Frame, table
from faithcheck.report.html.figure import figure, heading, multiples, row
from faithcheck.report.html.finding import Finding, under
from faithcheck.report.html.node_counts import node_counts
from faithcheck.report.html.panels import panels
from faithcheck.report.html.words import number, seed_name, token

CONTROLS = {"nonsense_control": ("nonsense", "nonsense labels"), "random_weights": ("shuffled", "shuffled weights")}


def draw(finding: Finding) -> Markup:
    name, words = CONTROLS[finding.entry.check]
    shown = row([*panels(finding), *([node_counts(finding, name, words)] if finding.values("task_size") else [])])
    pairs = {
        seed: (
            Curve(finding.tensor(seed, "task"), "circuit", "task"),
            Curve(finding.tensor(seed, name), "model", words.split()[0]),
        )
        for seed in finding.seeds(name)
    }
    if not pairs:
        return shown
    named = [(f"{seed_name(seed)}, {curve.name}", curve) for seed, pair in pairs.items() for curve in pair]
    title = heading(f"Loss over size, task against {words}")
    pictures = multiples(_curves(finding, pairs, name, words), "seeds")
    return shown + title + pictures + table(named, "Every size that was evaluated")


def _curves(finding: Finding, pairs: Mapping[int | None, tuple[Curve, Curve]], name: str, words: str) -> list[Markup]:
    """One picture a seed, all with the same axes."""
    target, control = finding.data.suite.target_loss, finding.values(f"{name}_size")
    frame = Frame.around([curve for pair in pairs.values() for curve in pair], target, 284, 210)
    figures = []
    for seed, pair in pairs.items():
        said = _said(words, control.get(seed))
        labels = [token(text) for text in finding.evidence.labels.get(under(seed, "labels"), [])]
        drawn = frame.draw(pair, [], f"{seed_name(seed)}: loss over size on the task and on {words}; {said}")
        named = Markup(", labels <q>{}</q> / <q>{}</q>").format(*labels[:2]) if len(labels) >= 2 else ""
        figures.append(figure(drawn, Markup("<b>{}</b>{} <small>{}</small>").format(seed_name(seed), named, said)))
    return figures


def _said(words: str, size: float | None) -> str:
    return f"{words}: target not reached" if size is None else f"{words} reach the target with {number(size)} nodes"
