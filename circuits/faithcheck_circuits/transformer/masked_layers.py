"""The layers of a run under hard masks, with the gradients of the masks written out.

Forward, only what is on is read. Backward, every node gets its gradient, on or off: with y = W diag(m) x the one
towards m is the column sum of W * (g x^T), g being the one towards y; with y = diag(m) (W x + b) the one towards m is
the row sum of W * (g x^T), and b times the sum of g. So no value and no gradient of a node that is off is needed at the
columns one by one, but for neurons, and for v nodes, whose values heads mix.

Activations are float[row, column] (`columns.py`), the nodes of the first member first; `by_...` is the gradient
towards it. Members have the same columns, and each nodes of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from faithcheck_circuits.transformer.block import Weight


class Mask:
    """`values`: float[member, node] of a site; `on`: int[node] of each member, where it is not 0.

    `rows`: int[on] and `kept`: float[on, 1], the rows of all members that are on, and their values.
    """

    def __init__(self, values: Tensor):
        self.values = values
        self.rows = values.flatten().nonzero().flatten()
        self.kept = values.flatten().index_select(0, self.rows)[:, None]
        self.member = self.rows // values.shape[1]
        self.on = by_member(self.rows, values.shape)
        self.node = torch.cat(self.on)


def by_member(rows: Tensor, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """int[node] of each member, of ascending rows of a value of [member, node]."""
    members, nodes = shape
    return (rows % nodes).split(torch.bincount(rows // nodes, minlength=members).tolist())


class Norm:
    """RMSNorm without its gain. `given`: float[member or 1, column or 1], the scale to divide by; None for the stream's
    own."""

    def __init__(self, members: int, eps: float, given: Tensor | None):
        self._members, self._eps, self._given = members, eps, given

    def forward(self, x: Tensor) -> Tensor:
        each = x.unflatten(0, (self._members, -1))
        if self._given is None:
            self._inverse = each.square().mean(1).add_(self._eps).rsqrt_()
        else:
            self._inverse = (1 / self._given).expand(self._members, x.shape[1])
        self.x = (each * self._inverse[:, None]).flatten(0, 1)
        return self.x

    def backward(self, by_x: Tensor, mask: Mask | None, into: Tensor) -> None:
        """Add what a gradient towards the rows of the outcome that are on (None for all) is towards the stream."""
        if mask is None:
            rows = torch.arange(len(into))
            member = rows // (len(into) // self._members)
        else:
            rows, member = mask.rows, mask.member
        if self._given is None:
            inner = self._inverse.new_zeros(self._inverse.shape)
            inner.index_add_(0, member, by_x * self.x.index_select(0, rows))
            inner.mul_(self._inverse).mul_(self._members / len(into))
            each = into.unflatten(0, (self._members, -1))
            each.addcmul_(self.x.view(each.shape), inner[:, None], value=-1)
        into.index_add_(0, rows, by_x * self._inverse.index_select(0, member))


class Read:
    """A site that reads the residual stream through a norm. `factor`: float[on, 1], its mask times the norm's gain."""

    def __init__(self, norm: Norm, gain: Tensor, mask: Mask):
        self._norm, self._gain, self.mask = norm, gain, mask
        self._factor = mask.kept * gain.index_select(0, mask.node)[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """float[on, column]."""
        return self._norm.forward(x).index_select(0, self.mask.rows).mul_(self._factor)

    def by_mask(self, weight: Weight, rows: Sequence[Tensor], by_rows: Tensor) -> Tensor:
        """Through these rows of the matrix that reads the site, float[member, node]."""
        return weight.by_inputs(rows, by_rows, self._norm.x).mul_(self._gain)

    def backward(self, by_read: Tensor, into: Tensor) -> None:
        self._norm.backward(by_read * self._factor, self.mask, into)


class Write:
    """A site that is added to the residual stream, and the matrix by which it reads its source site."""

    def __init__(self, weight: Weight, bias: Tensor, source: Mask, mask: Mask):
        self._weight, self._bias, self._source, self._mask = weight, bias, source, mask

    def forward(self, source: Tensor, x: Tensor) -> None:
        """Add to the stream what the site makes of its source's values, float[on, column]."""
        self._read = source * self._source.kept
        y = self._weight.times(self._mask.on, self._source.on, self._read)
        y += self._bias.index_select(0, self._mask.node)[:, None]
        x.index_add_(0, self._mask.rows, y.mul_(self._mask.kept))

    def by_mask(self, by_x: Tensor) -> Tensor:
        """float[member, node]."""
        dots = self._weight.by_outputs(self._source.on, by_x, self._read)
        return dots.addcmul_(self._bias, by_x.sum(1).view(dots.shape))

    def backward(self, by_x: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Towards the source's values that are on, and towards its mask, of which the values are all given."""
        by_y = by_x.index_select(0, self._mask.rows).mul_(self._mask.kept)
        by_source = self._weight.back(self._mask.on, self._source.on, by_y)
        return by_source.mul_(self._source.kept), self._weight.by_inputs(self._mask.on, by_y, source)


class Mlp:
    def __init__(self, read: Read, weight: Weight, bias: Tensor, neuron: Mask, write: Write):
        self._read, self._weight, self._bias, self._neuron, self._write = read, weight, bias, neuron, write

    def forward(self, x: Tensor) -> None:
        members, nodes = self._neuron.values.shape
        self._before = self._weight.times([torch.arange(nodes)] * members, self._read.mask.on, self._read.forward(x))
        self._before.view(members, nodes, -1).add_(self._bias[:, None])
        self._values = F.gelu(self._before)
        self._write.forward(self._values.index_select(0, self._neuron.rows), x)

    def backward(self, by_x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of the masks: in, neuron, out. That of the stream is updated."""
        by_out, on = self._write.by_mask(by_x), self._neuron.on
        by_neuron, by_mask = self._write.backward(by_x, self._values)
        by_before = torch.ops.aten.gelu_backward(by_neuron, self._before.index_select(0, self._neuron.rows))
        by_in = self._read.by_mask(self._weight, on, by_before)
        self._read.backward(self._weight.back(on, self._read.mask.on, by_before), by_x)
        return by_in, by_mask, by_out
