"""Generated stories as training batches: windows of tokens that begin at a sentence."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor

from faithcheck_circuits.stories.grammar import stories
from faithcheck_circuits.stories.tokenizer import WordTokenizer

END = "<|end|>"


class StoryText:
    """`tokens` int[token] of endless stories cut at `size` tokens; `starts` int[sentence], where a sentence begins."""

    def __init__(self, tokenizer: WordTokenizer, seed: int, size: int):
        flat: list[int] = []
        starts: list[int] = []
        source = stories(seed)
        while len(flat) < size:
            for sentence in next(source):
                starts.append(len(flat))
                flat.extend(tokenizer.encode(sentence))
            flat.extend(tokenizer.encode(END))
        self.tokens, self.starts = torch.tensor(flat), torch.tensor(starts)

    def batch(self, rows: int, length: int, generator: torch.Generator) -> Tensor:
        """int[row, length + 1]: windows that begin at sentences drawn at random."""
        usable = int(torch.searchsorted(self.starts, len(self.tokens) - length - 1))
        first = self.starts[torch.randint(usable, (rows,), generator=generator)]
        return self.tokens[first[:, None] + torch.arange(length + 1)]


def sample_sentences(seed: int, count: int) -> list[str]:
    """Sentences of the corpus, for what asks about the model's own text."""
    return [sentence for story in islice(stories(seed), count) for sentence in story][:count]
