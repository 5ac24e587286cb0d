"""What turns text into the tokens of a checkpoint that carries a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class CheckpointTokenizer:
    """A Hugging Face tokenizer. Text starts with BOS where the tokenizer itself puts one there, and ends with nothing.

    Whether it does is taken as how the model was trained: Llama's and Gemma's do, GPT-2's, Pythia's and Qwen's do not.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._start = [tokenizer.bos_token_id] if _puts_bos(tokenizer) else []

    def encode(self, text: str) -> list[int]:
        """Raises ValueError where the tokenizer knows no token for a part of the text."""
        try:
            tokens = self._tokenizer.encode(text, add_special_tokens=False)
        except Exception as error:  # tokenizers raises a bare Exception for a word that it does not know
            raise ValueError(f"the model's tokenizer cannot read it: {error}") from error
        if self._tokenizer.unk_token_id in tokens or (text.strip() and not tokens):
            raise ValueError("the model's tokenizer does not know a word of it")
        return [*self._start, *tokens]

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens)))


def _puts_bos(tokenizer: Any) -> bool:
    """Whether it puts BOS before text, tried on the first of its tokens that it reads as text."""
    special = {*tokenizer.all_special_ids}
    for token in range(len(tokenizer)):
        text = "" if token in special else tokenizer.decode([token])
        try:
            bare = tokenizer.encode(text, add_special_tokens=False)
        except Exception:  # tokenizers raises a bare Exception for what it does not know
            continue
        if bare:
            start: list[int] = tokenizer.encode(text)[: len(bare) + 1]
            return start == [tokenizer.bos_token_id, *bare]
    return False
