"""A run under masks over the nodes of every site: logits, and the gradient of every node's mask; and of one circuit.

This is what mask training and cutting do hundreds of times. It is compiled, and costs about what the nodes cost that
are on: of a whole network, and of one restricted to some nodes, which asks for the gradients of these alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from faithcheck_circuits.transformer.kernels import Array
from faithcheck_circuits.transformer.levers import levers_of
from faithcheck_circuits.transformer.masked_run import MaskedMember, MaskedPrompts
from faithcheck_circuits.transformer.network import Network

ByName = Mapping[str, Tensor]


def masked_logits(
    network: Network,
    tokens: Tensor,
    positions: Tensor,
    vocab: Tensor | None,
    masks: ByName,
    norm_scales: ByName,
    keep: ByName | None = None,
) -> Tensor:
    """float[member, prompt, token], with gradients of the masks, one of each site. Arguments as of `Model.run`; with
    `keep`, {site: bool[member, node]}, the other nodes are off and masks are over the kept ones, in the order of
    `faithcheck.slots`.
    """
    run = _Run(network, tokens, positions, vocab, list(masks), norm_scales, keep)
    return cast(Tensor, _Masked.apply(run, *masks.values()))


def circuit_logits(
    network: Network, tokens: Tensor, positions: Tensor, vocab: Tensor | None, norm_scales: ByName, keep: ByName
) -> Tensor:
    """float[1, prompt, token] of kept nodes, {site: bool[1, node]}, the others off; without gradients."""
    run = _Run(network, tokens, positions, vocab, list(keep), norm_scales, keep)
    masks = {site: kept[0].to(network.tensors["embed"].dtype).numpy() for site, kept in keep.items()}
    none = {site: np.zeros(len(mask), bool) for site, mask in masks.items()}
    return MaskedMember(run.prompts(0), masks, none, 0).forward()[None]


class _Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: _Run, *masks: Tensor) -> Tensor:
        ctx.run, ctx.members = run, [len(mask) for mask in masks]
        ctx.save_for_backward(*run.network.tensors.values(), *masks)
        return run.forward([mask.detach().numpy() for mask in masks])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises where a weight or a mask was changed since
        found = [torch.from_numpy(by) for by in ctx.run.backward(grads[0])]
        alone = [by if len(by) == n else by.sum(0, keepdim=True) for by, n in zip(found, ctx.members, strict=True)]
        return None, *alone


class _Run:
    """Members, of which those on the same prompts share what these decide."""

    def __init__(
        self,
        network: Network,
        tokens: Tensor,
        positions: Tensor,
        vocab: Tensor | None,
        sites: Sequence[str],
        norm_scales: ByName,
        keep: ByName | None,
    ):
        self.network, self._sites, self._scales = network, sites, norm_scales
        self._tokens = tokens if tokens.dim() == 3 else tokens[None]
        self._positions = torch.atleast_2d(positions)
        self._keep = None if keep is None else {site: kept.numpy() for site, kept in keep.items()}
        self._prepared = network.prepared()
        every = self._prepared.unembedding
        self._unembedding = every if vocab is None else every.of(vocab.numpy())
        self._prompts: dict[tuple[bytes, bytes], MaskedPrompts] = {}

    def forward(self, masks: Sequence[Array]) -> Tensor:
        """float[member, prompt, token], of masks float[member, node or slot]."""
        self._widths = [mask.shape[1] for mask in masks]
        self._members = [
            MaskedMember(self.prompts(i), self._over_nodes(masks, i), self._asked(i), i)
            for i in range(self._count(masks))
        ]
        return torch.stack([member.forward() for member in self._members])

    def backward(self, by_logits: Tensor) -> list[Array]:
        """float[member, node or slot] of each site."""
        found = [np.zeros((len(self._members), width), by_logits.numpy().dtype) for width in self._widths]
        for i, (member, by) in enumerate(zip(self._members, by_logits, strict=True)):
            by_mask = member.backward(by)
            for site, into in zip(self._sites, found, strict=True):
                by_node = by_mask[site] if self._keep is None else by_mask[site][_of(i, self._keep[site])]
                into[i, : len(by_node)] = by_node
        return found

    def _count(self, masks: Sequence[Array]) -> int:
        """How many members there are."""
        scales = [scale for scale in self._scales.values() if scale.dim() == 3]
        return max(map(len, (*masks, *scales, self._tokens, self._positions, *(self._keep or {}).values())))

    def _over_nodes(self, masks: Sequence[Array], i: int) -> dict[str, Array]:
        """A member's mask over all nodes of each site."""
        given = {site: _of(i, mask) for site, mask in zip(self._sites, masks, strict=True)}
        if self._keep is None:
            return {site: np.ascontiguousarray(mask) for site, mask in given.items()}
        whole = {}
        for site, mask in given.items():
            kept = _of(i, self._keep[site])
            whole[site] = np.zeros(len(kept), mask.dtype)
            whole[site][kept] = mask[: np.count_nonzero(kept)]
        return whole

    def _asked(self, i: int) -> Mapping[str, Array]:
        """Whose gradients are asked for."""
        if self._keep is None:
            return self._prepared.every
        return {site: _of(i, kept) for site, kept in self._keep.items()}

    def prompts(self, i: int) -> MaskedPrompts:
        """What a member runs on."""
        tokens, positions = _of(i, self._tokens), _of(i, self._positions)
        same = tokens.numpy().tobytes(), positions.numpy().tobytes()
        if same not in self._prompts:
            levers = levers_of(self.network, tokens[None], positions, ({}, {}, self._scales))
            answers = levers.columns.answers(positions)
            self._prompts[same] = MaskedPrompts(
                self._prepared, self._unembedding, levers.columns, answers, levers.norm_scales
            )
        return self._prompts[same]


def _of(i: int, members: Any) -> Any:
    """A member's part, of a tensor or array [member or 1, ...]."""
    return members[i if len(members) > 1 else 0]
