"""Text from outside as GitHub-flavoured Markdown that shows it as it is and makes nothing of it."""

from __future__ import annotations

import re

from faithcheck.text import one_line

_PIECES = re.compile(r"[^\s|`]+|.", re.DOTALL)
_SPECIAL = re.compile(r"([\\`*_\[\]<|~&])")
_LIVE = re.compile(
    r"[@#$]"  # a mention, an issue, a formula
    r"|//|www\."  # a link without any markup
    r"|:[\w+-]+:"  # an emoji
    r"|GH-\d|[0-9a-f]{7}",  # an issue, a commit
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """Words as words. Those of which GitHub would make something that no backslash prevents (mentions, issues, links,
    formulas, emoji) become code. It must not stand at the beginning of a line."""
    return "".join(_piece(piece) for piece in _PIECES.findall(one_line(text)))


def code(text: str) -> str:
    """A name: as code, but for pipes, which would end a table's cell, and backticks."""
    pieces = re.findall(r"[^|`]+|.", one_line(text))
    return "".join(_piece(piece) if piece in ("|", "`") or not piece.strip() else f"`{piece}`" for piece in pieces)


def _piece(piece: str) -> str:
    return f"`{piece}`" if _LIVE.search(piece) else _SPECIAL.sub(r"\\\1", piece)
