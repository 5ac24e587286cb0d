"""Products with some rows and columns of a weight matrix, member by member.

Activations of members are stacked: float[row, column], the rows of the first member first. Where few weights are not 0,
what is asked of all inputs or outputs is taken at those weights alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SLOWER = 7
"""A multiplication of a compressed sparse matrix takes about as long as this many of a dense one."""
PICKING = 3_000_000
"""As many multiplications of a dense matrix take as long as to pick some compressed rows."""

Nodes = Sequence[Tensor]
"""Some nodes of a site for each member, int[node]."""


class Weight:
    """`dense`: float[out, in]; the same compressed by rows, and its transpose, where that is worth having."""

    def __init__(self, dense: Tensor, by_rows: Tensor | None, by_columns: Tensor | None):
        self._dense = dense
        self._by_rows, self._by_columns = _Compressed(by_rows), _Compressed(by_columns)

    def times(self, rows: Nodes, columns: Nodes, x: Tensor) -> Tensor:
        """Some rows of W x, where x is 0 but for some of its rows, W's columns, and only these are given."""
        found = x.new_empty(_count(rows), x.shape[1])
        for out, some, inputs, part in zip(_parts(found, rows), rows, columns, _parts(x, columns), strict=True):
            picked = self._by_rows.if_faster(some, len(inputs), x.shape[1])
            if picked is not None:
                torch.mm(picked, _spread(part, inputs, self._dense.shape[1]), out=out)
            else:
                torch.mm(self._block(some, inputs), part, out=out)
        return found

    def back(self, rows: Nodes, columns: Nodes, y: Tensor) -> Tensor:
        """Some rows of W^T y, W's columns, where y is 0 but for some of its rows, and only these are given."""
        found = y.new_empty(_count(columns), y.shape[1])
        for out, outputs, some, part in zip(_parts(found, columns), rows, columns, _parts(y, rows), strict=True):
            picked = self._by_columns.if_faster(some, len(outputs), y.shape[1])
            if picked is not None:
                torch.mm(picked, _spread(part, outputs, len(self._dense)), out=out)
            else:
                torch.mm(self._block(outputs, some).T, part, out=out)
        return found

    def by_inputs(self, rows: Nodes, y: Tensor, x: Tensor) -> Tensor:
        """The sum over some rows i of W[i, j] (y_i . x_j), float[member, in]; given are these rows of y, and all of x.

        In y = W diag(m) x it is the gradient towards m, y standing for the one towards y.
        """
        sums = y.new_zeros(len(rows), self._dense.shape[1])
        for into, some, a, b in zip(sums, rows, _parts(y, rows), x.split(self._dense.shape[1]), strict=True):
            picked = self._by_rows.if_faster(some, self._dense.shape[1], y.shape[1])
            if picked is not None:
                _add_dots(into, picked, a, b)
            else:
                torch.sum((a @ b.T).mul_(self._block(some, None)), 0, out=into)
        return sums

    def by_outputs(self, columns: Nodes, y: Tensor, x: Tensor) -> Tensor:
        """The sum over some columns j of W[i, j] (y_i . x_j), float[member, out]; given are all of y, and these of x.

        In y = diag(m) W x it is the gradient towards m, y standing for the one towards y.
        """
        sums = y.new_zeros(len(columns), len(self._dense))
        for into, some, a, b in zip(sums, columns, y.split(len(self._dense)), _parts(x, columns), strict=True):
            picked = self._by_columns.if_faster(some, len(self._dense), y.shape[1])
            if picked is not None:
                _add_dots(into, picked, b, a)
            else:
                torch.sum((a @ b.T).mul_(self._block(None, some)), 1, out=into)
        return sums

    def _block(self, rows: Tensor | None, columns: Tensor | None) -> Tensor:
        block = self._dense
        if rows is not None and len(rows) < len(block):
            block = block.index_select(0, rows)
        return block if columns is None else block.index_select(1, columns)


def _count(nodes: Nodes) -> int:
    return sum(len(some) for some in nodes)


def _parts(x: Tensor, nodes: Nodes) -> Sequence[Tensor]:
    return x.split([len(some) for some in nodes])


def _spread(x: Tensor, rows: Tensor, width: int) -> Tensor:
    return x.new_zeros(width, x.shape[1]).index_copy_(0, rows, x)


class _Compressed:
    """A matrix compressed by its rows, None for none, and the rows that were picked of it."""

    def __init__(self, matrix: Tensor | None):
        self._matrix = matrix
        self._picked: dict[int, tuple[Tensor, Tensor]] = {}

    def if_faster(self, rows: Tensor, others: int, columns: int) -> Tensor | None:
        """Some rows, where they are faster than a dense product of them with so many others."""
        if self._matrix is None:
            return None
        total = self._matrix.shape[0]
        nonzeros = self._matrix.values().shape[0] * len(rows) / total
        if (len(rows) * others - SLOWER * nonzeros) * columns <= PICKING:
            return None
        if len(rows) == total:
            return self._matrix
        if id(rows) not in self._picked:
            self._picked[id(rows)] = rows, _pick(self._matrix, rows)
        return self._picked[id(rows)][1]


def _pick(matrix: Tensor, rows: Tensor) -> Tensor:
    """Some rows of a compressed matrix."""
    first, columns, values = matrix.crow_indices(), matrix.col_indices(), matrix.values()
    start, count = first.index_select(0, rows), first.diff().index_select(0, rows)
    end = count.cumsum(0)
    at = (start - end + count).repeat_interleave(count).add_(torch.arange(int(count.sum())))
    return torch.sparse_csr_tensor(
        F.pad(end, (1, 0)),
        columns.index_select(0, at),
        values.index_select(0, at),
        (len(rows), matrix.shape[1]),
        check_invariants=False,
    )


def _add_dots(into: Tensor, picked: Tensor, a: Tensor, b: Tensor) -> None:
    """Add to each column j the sum over rows i of W[i, j] (a_i . b_j)."""
    dots = torch.sparse.sampled_addmm(picked, a, b.T, beta=0.0).values()
    into.index_add_(0, picked.col_indices(), dots.mul_(picked.values()))
