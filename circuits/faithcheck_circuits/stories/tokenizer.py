"""Words to token ids and back: one token a word, whatever stands before it."""

import re
from collections.abc import Iterable, Sequence

END = "<|end|>"
"""The token between two stories; index 0 of the vocabulary."""

_TOKEN = re.compile(r'<\|\w+\|>|[,.?!":]|[^\s,.?!":]+')
_CLOSING = frozenset(",.?!:")


def split(text: str) -> list[str]:
    """The words and punctuation marks of a text."""
    return _TOKEN.findall(text)


def join(tokens: Iterable[str]) -> str:
    """Text with natural spacing: quotes open and close in turn, and start afresh after `END`."""
    text, quoted, glue = "", False, True
    for token in tokens:
        closes = token in _CLOSING or (token == '"' and quoted)
        text += token if glue or closes else f" {token}"
        glue = token == '"' and not quoted
        quoted = (quoted ^ (token == '"')) and token != END
    return text


class WordTokenizer:
    """A closed vocabulary; the index of a token is its id."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._ids = {token: index for index, token in enumerate(self.vocabulary)}

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> list[int]:
        """The ids of a text; ValueError names a word that the vocabulary lacks."""
        return self.ids(split(text))

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """The ids of a text that is already split."""
        try:
            return [self._ids[token] for token in tokens]
        except KeyError as error:
            raise ValueError(f"{error.args[0]!r} is not in the vocabulary of {len(self)} words") from None

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids, naturally spaced."""
        return join(self.vocabulary[index] for index in ids)
