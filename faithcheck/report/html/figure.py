"""A picture with its caption, and pictures side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from faithcheck.report.html.assets import environment

SHOWN = 6
"""Of small multiples, so many are open; the others unfold."""


def figure(drawn: Markup, caption: Markup | str, class_: str = "") -> Markup:
    return Markup('<figure class="chart {}"><figcaption>{}</figcaption>{}</figure>').format(class_, caption, drawn)


def row(figures: Iterable[Markup], class_: str = "") -> Markup:
    """Side by side, as many as the window is wide."""
    return Markup('<div class="charts {}">{}</div>').format(class_, Markup("").join(figures))


def multiples(figures: Sequence[Markup], what: str) -> Markup:
    """Small multiples, the first few open."""
    shown, more = row(figures[:SHOWN], "small"), figures[SHOWN:]
    if not more:
        return shown
    rest = Markup("<details><summary>{} more {}</summary>{}</details>").format(len(more), what, row(more, "small"))
    return shown + rest


def numbers(summary: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """A table that unfolds: the numbers behind a picture."""
    template = environment().get_template("numbers.html")
    return Markup(template.render(summary=summary, head=head, rows=rows))


def heading(text: str) -> Markup:
    return Markup("<h4>{}</h4>").format(text)


def note(text: str | Markup) -> Markup:
    return Markup('<p class="note">{}</p>').format(text)
