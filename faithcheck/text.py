"""Text to print."""

from __future__ import annotations

import sys


def visible(text: str) -> str:
    """Text from outside, control characters but for line ends as `\\x1b` and the like: none may reach a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """`visible`, with line ends as `\\n` too: for names, titles and sentences, whose line ends would break a layout."""
    return visible(text).replace("\n", "\\n")


def complain(what: object) -> None:
    """Print on standard error what is wrong, as all commands do."""
    print(visible(f"faithcheck: {what}"), file=sys.stderr)  # noqa: T201


def counted(number: int, what: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
