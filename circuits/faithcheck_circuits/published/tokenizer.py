"""The tokenizer of a checkpoint folder: its tokenizer.json, or none, and then texts are token ids."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from faithcheck.errors import Location, UserError
from faithcheck_circuits.token_ids import TokenIds

FILE = "tokenizer.json"


class FileTokenizer:
    """A Hugging Face tokenizer, without what it would put around a text or cut off it."""

    def __init__(self, tokenizer: Any, vocabulary: int):
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        tokenizer.no_padding()
        tokenizer.no_truncation()
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
        return TokenIds(vocabulary)
    if find_spec("tokenizers") is None:
        return TokenIds(vocabulary, f"reading the checkpoint's {FILE} needs the package tokenizers")
    from tokenizers import Tokenizer

    try:
        return FileTokenizer(Tokenizer.from_file(str(path)), vocabulary)
    except Exception as error:  # the package raises plain Exception
        raise UserError(f"is no tokenizer: {error}", Location(str(path))) from None
