"""Numbers and tables in markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def cell(found: Mapping[str, float], scale: float = 1.0) -> str:
    """`median (least to greatest)`."""
    return f"{number(scale * found['median'])} ({number(scale * found['low'])} to {number(scale * found['high'])})"


def percent(share: float) -> str:
    return f"{number(100 * share)} %"


def paragraph(text: str) -> str:
    """The text in lines of at most 120 characters."""
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The table's lines, with an empty line before and after."""
    lines = [head, ["---"] * len(head), *rows]
    return ["", *("| " + " | ".join(map(str, line)) + " |" for line in lines), ""]
