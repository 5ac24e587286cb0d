"""Which prompt of a problem a row of tokens is."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from faithcheck.bench import Bench
from faithcheck.prompts import PromptSet

Row = tuple[int, ...]


class Rows:
    """A row is a train prompt, or the start of one or of a text of the model's own, each right-padded with 0 or
    not."""

    def __init__(self, bench: Bench):
        self._prompts = {row: place for place, row in enumerate(_rows(bench.prompts("train")))}
        texts = [tuple(bench.model.tokenizer.encode(text)) for text in getattr(bench.model, "sample_text", ())]
        self._starts = {row[:end] for row in (*self._prompts, *texts) for end in range(1, len(row) + 1)}
        hidden = [split for split in (*bench.task.splits, *bench.task.shifts) if split != "train"]
        self._hidden = {row: split for split in hidden for row in _rows(bench.prompts(split))}

    def prompt(self, row: Row) -> int | None:
        """The place of the train prompt that the row is the whole of."""
        return next((self._prompts[part] for part in _unpadded(row) if part in self._prompts), None)

    def is_allowed(self, row: Row) -> bool:
        return any(part in self._starts for part in _unpadded(row))

    def split(self, row: Row) -> str | None:
        """The split or shift, other than train, that the row is a prompt of."""
        return next((self._hidden[part] for part in _unpadded(row) if part in self._hidden), None)


def rows_of(tokens: Tensor) -> list[Row]:
    """Of int[..., pos]."""
    return [tuple(row) for row in tokens.flatten(0, -2).tolist()]


def _rows(prompts: PromptSet) -> Iterable[Row]:
    pairs = zip(rows_of(prompts.tokens), prompts.positions.tolist(), strict=True)
    return [row[: last + 1] for row, last in pairs]


def _unpadded(row: Row) -> list[Row]:
    """The row, and what is left of it when zeros at its end are taken for padding."""
    end = len(row)
    while end > 1 and row[end - 1] == 0:
        end -= 1
    return [row[:stop] for stop in range(len(row), end - 1, -1)]
