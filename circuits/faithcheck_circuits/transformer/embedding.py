"""What the tokens alone decide in a network; all its restrictions share it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from faithcheck_circuits.transformer.derived import Derived

_TABLE = 2048
"""Up to this many tokens, what each adds to the logits is computed once."""


class Embedding:
    def __init__(self, tensors: Mapping[str, Tensor]):
        self._tensors = tensors
        self.rows = Derived(_rows, tensors, "embed")
        """float[channel, token]"""
        self._squares = Derived(_squares, tensors, "embed")
        """float[channel, token]"""
        self.unembed = Derived(_unembed_rows, tensors, "unembed", "ln_f.gain")
        """float[channel, token]: the unembedding times the last norm's gain."""
        self._table = Derived(_embed_to_logits, tensors, "embed", "unembed", "ln_f.gain")

    def rest(self, used: Tensor) -> Tensor:
        """float[member, token]: the sum of squares over the channels that are not in bool[member, channel]."""
        squares = self._squares.get()
        return (~used).to(squares.dtype) @ squares

    def logits(self, tokens: Tensor, vocab: Tensor | None) -> Tensor:
        """float[..., token]: what the embeddings of int[...] tokens add to the logits, before the last norm's scale."""
        embed = self._tensors["embed"]
        if len(embed) <= _TABLE:
            rows = self._table.get()[tokens]
            return rows if vocab is None else rows[..., vocab]
        unembed = self.unembed.get()
        return embed[tokens] @ (unembed if vocab is None else unembed[:, vocab])


def _rows(embed: Tensor) -> Tensor:
    return embed.T.contiguous()


def _squares(embed: Tensor) -> Tensor:
    return embed.T.square()


def _unembed_rows(unembed: Tensor, gain: Tensor) -> Tensor:
    return (unembed * gain).T.contiguous()


def _embed_to_logits(embed: Tensor, unembed: Tensor, gain: Tensor) -> Tensor:
    return embed @ (unembed * gain).T
