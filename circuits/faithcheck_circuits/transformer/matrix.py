"""A model's weight matrix times masked activations, at the cost of its nonzero weights or of the nodes that are on.

Activations are float[member, node, column]: a product then needs no transposition, whatever it multiplies by.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from faithcheck_circuits.transformer.derived import Derived
from faithcheck_circuits.transformer.source import Source

SLOWER = 7
"""A multiplication of a compressed sparse matrix takes about as long as this many of a dense one."""
SMALL = 64 * 64
"""Entries of a matrix below which no form is faster than another."""


class Matrix:
    """`weight`: float[out, in] and `bias`: float[out] of a site. The compressed forms are made on a CPU, where few
    entries are not 0.
    """

    def __init__(self, tensors: Mapping[str, Tensor], site: str):
        self._tensors, self._weight, self._bias = tensors, f"{site}.weight", f"{site}.bias"
        self._rows = Derived(_compressed, tensors, self._weight)
        self._columns = Derived(_compressed_transpose, tensors, self._weight)
        self._nonzeros = Derived(torch.count_nonzero, tensors, self._weight)
        known = self.weight.device.type == "cpu" and self.weight.dtype in (torch.float32, torch.float64)
        self._compresses = known and self.weight.numel() >= SMALL and torch.backends.mkl.is_available()

    @property
    def weight(self) -> Tensor:
        return self._tensors[self._weight]

    @property
    def bias(self) -> Tensor:
        return self._tensors[self._bias]

    def times(self, source: Source, outputs: Tensor | None) -> Tensor:
        """W x + b: every output, and gradients for every input and for its mask.

        outputs: int[node], outside of which the gradient towards the result is 0; None where that is not known.
        """
        x = source.values
        if self.weight.requires_grad or self.bias.requires_grad:
            return _each(self.weight, source.masked()) + self.bias[:, None]
        if source.mask is None or source.on is None or len(source.mask) != len(x):
            return _Product.apply(source.masked(), None, self, False, None, outputs)
        return _Product.apply(x, source.mask, self, source.gelu, source.on, outputs)

    def multiply(self, x: Tensor) -> Tensor:
        """W x for float[member, in, column]."""
        return _each(self._rows.get() if self._is_sparser_than(self.weight.numel()) else self.weight, x)

    def multiply_rows(self, x: Tensor, on: Tensor) -> Tensor:
        """The same where x is 0 but for the rows `on`, of which float[member, on, column] is given."""
        if not self._is_sparser_than(len(on) * len(self.weight)):
            return _each(self.weight.index_select(1, on), x)
        wide = x.new_zeros(len(x), self.weight.shape[1], x.shape[2])
        return _each(self._rows.get(), wide.index_copy_(1, on, x))

    def transposed(self, grad: Tensor, on: Tensor | None) -> Tensor:
        """W^T g for float[member, out, column], which is 0 outside of the rows `on`; None where that is not known."""
        if self._is_sparser_than(self.weight.shape[1] * (len(self.weight) if on is None else len(on))):
            return _each(self._columns.get(), grad)
        if on is None or len(on) > len(self.weight) / 2:
            return _each(self.weight.T, grad)
        return _each(self.weight.index_select(0, on).T, grad.index_select(1, on))

    def _is_sparser_than(self, multiplications: int) -> bool:
        """Whether the compressed form is faster than this many multiplications of a dense one."""
        return self._compresses and SLOWER * int(self._nonzeros.get()) < multiplications


class _Product(torch.autograd.Function):
    """With a mask, only rows that are on are multiplied and send gradients on; the mask gets all of its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mask: Tensor | None,
        matrix: Matrix,
        gelu: bool,
        on: Tensor | None,
        outputs: Tensor | None,
    ) -> Tensor:
        ctx.matrix, ctx.gelu = matrix, gelu
        if mask is None or on is None:
            ctx.save_for_backward(matrix.weight, None, None, None, None, outputs)
            product = matrix.multiply(x)
        else:
            active = F.gelu(x) if gelu else x
            rows = active.index_select(1, on) * mask[:, on, None]
            ctx.save_for_backward(matrix.weight, active, x.index_select(1, on) if gelu else None, mask, on, outputs)
            product = matrix.multiply_rows(rows, on)
        return product.add_(matrix.bias[:, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        _, active, before, mask, on, outputs = ctx.saved_tensors  # raises where the weight was changed since
        grad = ctx.matrix.transposed(grads[0], outputs)
        if mask is None:
            return grad, None, None, None, None, None
        by_mask = (active * grad).sum(2) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, by_mask, None, None, None, None
        rows = grad.index_select(1, on) * mask[:, on, None]
        if ctx.gelu:
            rows = rows * _gelu_slope(before)
        return torch.zeros_like(grad).index_copy_(1, on, rows), by_mask, None, None, None, None


def _gelu_slope(x: Tensor) -> Tensor:
    """d gelu(x) / dx = Phi(x) + x phi(x), of the exact GELU (Hendrycks and Gimpel 2016)."""
    return 0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)


def _each(weight: Tensor, x: Tensor) -> Tensor:
    """W x for each member of float[member, in, column]."""
    return (weight @ x[0])[None] if len(x) == 1 else torch.stack([weight @ member for member in x])


def _compressed(weight: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return weight.detach().to_sparse_csr()


def _compressed_transpose(weight: Tensor) -> Tensor:
    return _compressed(weight.T)
