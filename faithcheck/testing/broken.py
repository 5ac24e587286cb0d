"""Laws that were found broken, and the one error that says all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Broken:
    """One law, what was done to try it, what should have come, what came, and what usually causes it."""

    law: str
    done: str
    expected: str
    found: str
    advice: tuple[str, ...]


def complaint(subject: str, broken: Sequence[Broken]) -> str:
    """All that is broken, law by law; a law that broke in several places is described by the first."""
    first: dict[str, Broken] = {}
    for each in broken:
        first.setdefault(each.law, each)
    counts = {law: sum(each.law == law for each in broken) for law in first}
    laws = "a law" if len(first) == 1 else f"{len(first)} laws"
    parts = [f"{subject} breaks {laws}:"]
    parts += [_paragraph(i, each, counts[law] - 1) for i, (law, each) in enumerate(first.items(), 1)]
    return "\n\n".join(parts)


def _paragraph(number: int, broken: Broken, more: int) -> str:
    again = f" (and {more} more like it)" if more else ""
    lines = [
        f"{number}. {broken.law}",
        f"   done:     {broken.done}",
        f"   expected: {broken.expected}",
        f"   found:    {broken.found}{again}",
    ]
    heads = ("   advice:  ", *("            " for _ in broken.advice[1:]))
    lines += [f"{head} ({letter}) {text}" for head, letter, text in zip(heads, "abcdef", broken.advice, strict=False)]
    return "\n".join(lines)
