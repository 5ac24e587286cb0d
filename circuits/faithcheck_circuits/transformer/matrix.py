"""A model's weight matrix times activations, at the cost of its nonzero weights where these are few.

Activations are float[member, node, column]: a product then needs no transposition, whatever it multiplies by.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from faithcheck_circuits.transformer.derived import Derived

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

    def times(self, x: Tensor) -> Tensor:
        """W x + b for float[member, in, column]."""
        if self.weight.requires_grad or self.bias.requires_grad:
            return _each(self.weight, x) + self.bias[:, None]
        return _Product.apply(x, self)

    @property
    def _is_sparse(self) -> bool:
        """Whether the compressed form is faster."""
        return self._compresses and SLOWER * int(self._nonzeros.get()) < self.weight.numel()

    def rows(self) -> Tensor:
        """The weight, in the form in which W x is fastest."""
        return self._rows.get() if self._is_sparse else self.weight

    def columns(self) -> Tensor:
        """The weight's transpose, in the form in which W^T x is fastest."""
        return self._columns.get() if self._is_sparse else self.weight.T


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Matrix) -> Tensor:
        ctx.matrix = matrix
        ctx.save_for_backward(matrix.weight)
        return _each(matrix.rows(), x).add_(matrix.bias[:, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises where the weight was changed since
        return _each(ctx.matrix.columns(), grads[0]), None


def _each(weight: Tensor, x: Tensor) -> Tensor:
    """W x for each member of float[member, in, column]."""
    return (weight @ x[0])[None] if len(x) == 1 else torch.stack([weight @ member for member in x])


def _compressed(weight: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return weight.detach().to_sparse_csr()


def _compressed_transpose(weight: Tensor) -> Tensor:
    return _compressed(weight.T)
