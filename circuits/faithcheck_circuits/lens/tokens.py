"""What turns text into the tokens of a checkpoint that carries a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class CheckpointTokenizer:
    """A Hugging Face tokenizer. Text starts with what the tokenizer itself puts there, BOS as a rule, and ends with
    nothing.

    What it puts there is taken as how the model was trained: Llama's and Gemma's put BOS, GPT-2's, Pythia's and Qwen's
    nothing. `vocabulary`: how many tokens the model knows.
    """

    def __init__(self, tokenizer: Any, vocabulary: int):
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._start = _start_of_text(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Raises ValueError naming a word that the tokenizer has no token for, or the model no embedding."""
        tokens = self._known(text)
        if tokens is None:
            word = next((word for word in text.split() if self._known(word) is None), text)
            raise ValueError(f"the model's tokenizer does not know {word!r}")
        for token in tokens:
            if token >= self._vocabulary:
                word = self.decode([token])
                raise ValueError(f"{word!r} is token {token} of its tokenizer, the model knows {self._vocabulary}")
        return [*self._start, *tokens]

    def _known(self, text: str) -> list[int] | None:
        """The tokens of the text alone, None where it has something that the tokenizer has no token for."""
        try:
            tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        except Exception:  # tokenizers raises a bare Exception for a word that it does not know
            return None
        return None if self._tokenizer.unk_token_id in tokens or (text.strip() and not tokens) else tokens

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens)))


def _start_of_text(tokenizer: Any) -> list[int]:
    """What it puts before text, tried on the first of its tokens that it reads as text."""
    special = {*tokenizer.all_special_ids}
    for token in range(len(tokenizer)):
        text = "" if token in special else tokenizer.decode([token])
        try:
            bare = tokenizer.encode(text, add_special_tokens=False)
        except Exception:  # tokenizers raises a bare Exception for what it does not know
            continue
        if bare:
            whole: list[int] = tokenizer.encode(text)
            places = (i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
            return whole[: next(places, 0)]
    return []
