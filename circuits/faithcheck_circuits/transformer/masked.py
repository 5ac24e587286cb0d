"""A run under masks over the nodes of every site: logits, and the gradient of every node's mask; and of one circuit.

This is what mask training and cutting do hundreds of times. It is compiled, and costs about what the nodes cost that
are on: of a whole network, and of parts of one, where other nodes are off and have no gradient.
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
from faithcheck_circuits.transformer.masked_run import MaskedInput, MaskedMember, MaskedPrompts
from faithcheck_circuits.transformer.network import Network
from faithcheck_circuits.transformer.prepared import Prepared

ByName = Mapping[str, Tensor]


def masked_logits(
    network: Network,
    parts: Sequence[Prepared],
    tokens: Tensor,
    positions: Tensor,
    vocab: Tensor | None,
    masks: ByName,
    norm_scales: ByName,
) -> Tensor:
    """float[member, prompt, token], with gradients of the masks, one of each site over the slots of `parts`, of which
    there is one of each member, or one of all. Other arguments as of `Model.run`."""
    run = _Run(network, parts, tokens, positions, vocab, norm_scales)
    return cast(Tensor, _Masked.apply(run, list(masks), *masks.values()))


def circuit_logits(
    network: Network, circuit: Prepared, tokens: Tensor, positions: Tensor, vocab: Tensor | None, norm_scales: ByName
) -> Tensor:
    """float[1, prompt, token] of a part of a network, without gradients."""
    run, dtype = _Run(network, [circuit], tokens, positions, vocab, norm_scales), circuit.embed.dtype
    masks = [{kind: nodes.has_mask.astype(dtype) for kind, nodes in layer.nodes.items()} for layer in circuit.layers]
    return torch.from_numpy(MaskedMember(run.given(0), masks, 0).forward()[None])


class _Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: _Run, sites: Sequence[str], *masks: Tensor) -> Tensor:
        ctx.run, ctx.members = run, [len(mask) for mask in masks]
        ctx.save_for_backward(*run.network.tensors.values(), *masks)
        return run.forward({site: mask.detach().numpy() for site, mask in zip(sites, masks, strict=True)})

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises where a weight or a mask was changed since
        found = [torch.from_numpy(by) for by in ctx.run.backward(grads[0].numpy())]
        alone = [by if len(by) == n else by.sum(0, keepdim=True) for by, n in zip(found, ctx.members, strict=True)]
        return None, None, *alone


class _Run:
    """Members, of which those on the same prompts share what these decide."""

    def __init__(
        self,
        network: Network,
        parts: Sequence[Prepared],
        tokens: Tensor,
        positions: Tensor,
        vocab: Tensor | None,
        norm_scales: ByName,
    ):
        self.network, self._parts, self._scales, self._vocab = network, parts, norm_scales, vocab
        self._tokens = tokens if tokens.dim() == 3 else tokens[None]
        self._positions = torch.atleast_2d(positions)
        self._unembed = [part.unembed if vocab is None else part.unembed_of(vocab.numpy()) for part in parts]
        self._prompts: dict[tuple[bytes, bytes], MaskedPrompts] = {}
        self._given: dict[tuple[int, int], MaskedInput] = {}

    def forward(self, masks: Mapping[str, Array]) -> Tensor:
        """float[member, prompt, token], of masks float[member, slot]."""
        self._masks = {_place(site): mask for site, mask in masks.items()}
        self._members = [self._member(i) for i in range(self._count())]
        return torch.from_numpy(np.stack([member.forward() for member in self._members]))

    def backward(self, by_logits: Array) -> list[Array]:
        """float[member, slot] of each site."""
        members = len(self._members)
        found = {place: np.zeros((members, mask.shape[1]), mask.dtype) for place, mask in self._masks.items()}
        for i, (member, by) in enumerate(zip(self._members, by_logits, strict=True)):
            of_member, layers = member.backward(by), _of(i, self._parts).layers
            for (layer, kind), into in found.items():
                nodes = layers[layer].nodes[kind]
                into[i, nodes.slot] = of_member[layer][kind][nodes.node]
        return list(found.values())

    def given(self, i: int) -> MaskedInput:
        """What a member's network makes of its prompts."""
        prompts, place = self._prompts_of(i), i if len(self._parts) > 1 else 0
        if (id(prompts), place) not in self._given:
            self._given[id(prompts), place] = MaskedInput(self._parts[place], self._unembed[place], prompts)
        return self._given[id(prompts), place]

    def _count(self) -> int:
        """How many members there are."""
        scales = [scale for scale in self._scales.values() if scale.dim() == 3]
        return max(map(len, (*self._masks.values(), *scales, self._tokens, self._positions, self._parts)))

    def _member(self, i: int) -> MaskedMember:
        layers = _of(i, self._parts).layers
        masks: list[dict[str, Array]] = [{} for _ in layers]
        for (layer, kind), mask in self._masks.items():
            masks[layer][kind] = layers[layer].nodes[kind].spread(_of(i, mask))
        return MaskedMember(self.given(i), masks, i)

    def _prompts_of(self, i: int) -> MaskedPrompts:
        tokens, positions = _of(i, self._tokens), _of(i, self._positions)
        same = tokens.numpy().tobytes(), positions.numpy().tobytes()
        if same not in self._prompts:
            levers = levers_of(self.network, tokens[None], positions, ({}, {}, self._scales))
            answers = levers.columns.answers(positions)
            self._prompts[same] = MaskedPrompts(self.network, levers.columns, answers, levers.norm_scales, self._vocab)
        return self._prompts[same]


def _place(site: str) -> tuple[int, str]:
    """Its layer and kind."""
    layer, kind = site.split(".")
    return int(layer), kind


def _of(i: int, members: Any) -> Any:
    """A member's part, of a tensor, array or list [member or 1, ...]."""
    return members[i if len(members) > 1 else 0]
