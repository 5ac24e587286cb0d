"""A tokenizer that refuses words it does not know, made of one that need not.

Tokenizers do one of four things with such a word: raise, take a token for unknown words, leave letters out without a
word, or spell it in bytes, so that nothing is unknown. An adapter says which token stands for unknown words with the
attribute `unknown`. Where it says nothing, letters that no vocabulary has show whether the tokenizer gives back all
that it is given; if not, every word is compared with what its tokens decode to.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING

from faithcheck.plugins import one_line

if TYPE_CHECKING:
    from faithcheck.model import Tokenizer

_RARE = ("\U00012000", "\U00012042", "\U00012226")
"""Three cuneiform signs."""


class StrictTokenizer:
    """`encode` raises ValueError naming a word that is lost or unknown; else it is the tokenizer's own.

    `start`: what begins every text, such as a token for the beginning.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._unknown: int | None = getattr(tokenizer, "unknown", None)
        self._empty = self._of_nothing()
        self._loses = self._unknown is None and self._loses_letters()
        self._known: set[str] = set()

    def encode(self, text: str) -> list[int]:
        row = self._row(text)
        if self._unknown is not None and row.count(self._unknown) > self._empty.count(self._unknown):
            raise ValueError(
                f"{self._unknown_word(text)!r} is unknown to the tokenizer ({self.shown([self._unknown])})"
            )
        for word in text.split() if self._loses else ():
            if word not in self._known:
                self._check_kept(word)
                self._known.add(word)
        return row

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(tokens)

    def shown(self, tokens: Sequence[int]) -> str:
        """Each token as the text it stands for, in quotes."""
        return " ".join(repr(self._tokenizer.decode([token])) for token in tokens)

    def content(self, row: list[int]) -> list[int]:
        """A row without what begins every text, and what ends it."""
        return row[len(self._start(row)) : len(row) - len(self.ending(row))]

    def ending(self, row: list[int]) -> list[int]:
        """What the tokenizer puts at the end of every text: those of models of other kinds do."""
        closing = self._empty[len(self._start(row)) :]
        return closing if closing and row[-len(closing) :] == closing else []

    def _start(self, row: list[int]) -> list[int]:
        same = 0
        while same < min(len(row), len(self._empty)) and row[same] == self._empty[same]:
            same += 1
        return row[:same]

    def _row(self, text: str) -> list[int]:
        """What the tokenizer itself gives; raises ValueError however it fails, a table of words by KeyError."""
        try:
            return [index(token) for token in self._tokenizer.encode(text)]
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(f"the tokenizer's encode fails: {one_line(error)}") from error

    def _of_nothing(self) -> list[int]:
        try:
            return self._row("")
        except ValueError:
            return []

    def _loses_letters(self) -> bool:
        try:
            return not all(self._gives_back(sign) for sign in _RARE)
        except Exception:  # one that raises, in whatever way, refuses unknown words itself
            return False

    def _gives_back(self, text: str) -> bool:
        row = self._row(text)
        return letters(self._tokenizer.decode(self.content(row))) == letters(text)

    def _check_kept(self, word: str) -> None:
        if not self._gives_back(word):
            found = self._tokenizer.decode(self.content(self._row(word)))
            raise ValueError(f"of {word!r} the tokenizer keeps {found!r}")

    def _unknown_word(self, text: str) -> str:
        ids = ((word, self._row(word)) for word in text.split())
        return next((word for word, row in ids if self._unknown in self.content(row)), text)


def strict(tokenizer: Tokenizer) -> StrictTokenizer:
    return tokenizer if isinstance(tokenizer, StrictTokenizer) else StrictTokenizer(tokenizer)


def letters(text: str) -> str:
    """The text without what tokenizers change in good faith: case, accents, blanks, compatible forms of letters."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for c in plain if not unicodedata.combining(c) and not c.isspace())
