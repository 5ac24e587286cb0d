"""A tokenizer for models that carry none."""

from __future__ import annotations

from collections.abc import Sequence


class TokenIds:
    """Texts are token ids written as words, as in "12 7 3". `why`: the reason why they are not words."""

    def __init__(self, vocabulary: int, why: str = "the checkpoint carries no tokenizer"):
        self._vocabulary, self._why = vocabulary, why

    def encode(self, text: str) -> list[int]:
        """ValueError names a word that is no token id of the vocabulary."""
        return [self._id(word) for word in text.split()]

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(str(int(token)) for token in tokens)

    def _id(self, word: str) -> int:
        if not (word.isascii() and word.isdigit()):
            raise ValueError(f"{word!r} is no token id: {self._why}, so a text is ids such as '12 7 3'")
        if int(word) >= self._vocabulary:
            raise ValueError(f"token id {word} is not among the {self._vocabulary} of the model")
        return int(word)
