"""Numbers of a result as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from faithcheck.result_schema import CircuitResult, MetricEntry


def interval(metric: MetricEntry) -> str:
    """`0.69 [0.68, 0.7]`, or one number where there is no sampling error."""
    return span([metric])


def span(metrics: Sequence[MetricEntry]) -> str:
    """`0.12 to 0.31 [0.05, 0.4]`: the lowest and the highest estimate, and the outermost limits of their intervals.

    There must be one at least.
    """
    known = [m.estimate for m in metrics if m.estimate is not None]
    missed = len(metrics) - len(known)
    text = extent([number(value) for value in sorted(known)])
    if not known:
        return "not reached"
    if any((m.low, m.high) != (m.estimate, m.estimate) for m in metrics):
        text += f" [{_limit([m.low for m in metrics], min)}, {_limit([m.high for m in metrics], max)}]"
    return f"{text}, {missed} not reached" if missed else text


def sizes(circuits: Iterable[CircuitResult]) -> tuple[str, str, str]:
    """Nodes, edges and validation loss of the circuits of a task, each from the least to the most."""
    rows = list(circuits)
    nodes = [c.size for c in rows]
    edges = [c.edges for c in rows if c.edges is not None]
    losses = [c.loss for c in rows if c.loss is not None]
    return (
        extent([str(value) for value in sorted(nodes)]),
        extent([str(value) for value in sorted(edges)]),
        extent([f"{value:.3f}" for value in sorted(losses)]),
    )


def extent(texts: Sequence[str]) -> str:
    """`3 to 9` of sorted numbers; `3` where they are alike, `-` where there are none."""
    if not texts:
        return "-"
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def _limit(limits: Sequence[float | None], outermost: Callable[[list[float]], float]) -> str:
    known = [value for value in limits if value is not None]
    return number(outermost(known)) if len(known) == len(limits) else "unbounded"


def number(value: float) -> str:
    """Three digits; a count whole."""
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.3g}"
