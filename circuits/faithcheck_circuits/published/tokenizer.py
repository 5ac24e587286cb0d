"""The tokenizer of a checkpoint folder: its tokenizer.json, or none, and then texts are token ids."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from faithcheck.errors import Location, UserError

FILE = "tokenizer.json"


class TokenIds:
    """Texts are token ids written as words, as in "12 7 3". `why`: the reason why they are not words."""

    def __init__(self, vocabulary: int, why: str):
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


class FileTokenizer:
    """A Hugging Face tokenizer, without the special tokens that it would put around a text."""

    def __init__(self, tokenizer: Any, vocabulary: int):
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        unknown = getattr(tokenizer.model, "unk_token", None)
        self._unknown = None if unknown is None else tokenizer.token_to_id(unknown)

    def encode(self, text: str) -> list[int]:
        """ValueError names what of the text has no token of its own, or one that the model has no embedding for."""
        found = self._tokenizer.encode(text, add_special_tokens=False)
        for token, (start, end) in zip(found.ids, found.offsets, strict=True):
            if token == self._unknown:
                raise ValueError(f"{text[start:end]!r} is not in the tokenizer's vocabulary")
            if token >= self._vocabulary:
                raise ValueError(f"{text[start:end]!r} is token {token}, the model knows {self._vocabulary}")
        return list(found.ids)

    def decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode([int(token) for token in tokens], skip_special_tokens=False)
        return text


def read_tokenizer(folder: Path, vocabulary: int) -> FileTokenizer | TokenIds:
    """Raises UserError where the folder's tokenizer.json is damaged."""
    path = folder / FILE
    if not path.is_file():
        return TokenIds(vocabulary, "the checkpoint carries no tokenizer")
    if find_spec("tokenizers") is None:
        return TokenIds(vocabulary, f"reading the checkpoint's {FILE} needs the package tokenizers")
    from tokenizers import Tokenizer

    try:
        return FileTokenizer(Tokenizer.from_file(str(path)), vocabulary)
    except Exception as error:  # the package raises plain Exception
        raise UserError(f"is no tokenizer: {error}", Location(str(path))) from None
