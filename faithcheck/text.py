"""Text from outside, made safe to print."""

from __future__ import annotations


def visible(text: str) -> str:
    """The text with control characters, but for line ends, as `\\x1b` and the like: they must not reach a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
