"""The tiny model with `restrict`: what an adapter's `restrict` has to give, computed by masks at no saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.model import Run
from faithcheck.slots import slots
from faithcheck.testing.tiny.levers import ByName, Levers
from faithcheck.testing.tiny.model import TinyModel


class RestrictingModel(TinyModel):
    """See `faithcheck.model.Model.restrict`."""

    def restrict(self, keep: Mapping[str, Tensor], ablation: Ablation, trainable: bool = False) -> RestrictedModel:
        if ablation.kind != "zero":
            raise ValueError(f"a restricted model leaves ablated nodes out; got {ablation.kind} ablation")
        return RestrictedModel(self, {site: torch.atleast_2d(kept) for site, kept in keep.items()}, trainable)


class RestrictedModel:
    """A circuit as a model of its own; its nodes are the kept ones, in the order of `faithcheck.slots`.

    keep: {site: bool[member, node]}.
    """

    def __init__(self, whole: RestrictingModel, keep: ByName, trainable: bool):
        self._whole, self._trainable = whole, trainable
        self.name, self.fingerprint, self.tokenizer = whole.name, whole.fingerprint, whole.tokenizer
        self.device, self.dtype, self.norms, self.sample_text = (
            whole.device,
            whole.dtype,
            whole.norms,
            whole.sample_text,
        )
        self._keep = keep
        self._slots = {site: slots(kept) for site, kept in keep.items()}
        self.sites = {
            site: replace(at, size=index.shape[1], head=None if at.head is None else at.head[index[0]])
            for site, at in whole.sites.items()
            for index, _ in [self._slots[site]]
        }

    def run(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        vocab: Tensor | None = None,
        masks: ByName | None = None,
        baselines: ByName | None = None,
        norm_scales: ByName | None = None,
        capture: Sequence[str] = (),
    ) -> Run:
        """See `faithcheck.model.Model.run`."""
        Levers(self, masks or {}, baselines or {}, norm_scales or {}, capture)
        with nullcontext() if self._trainable else torch.no_grad():
            every = {site: self._spread(site, (masks or {}).get(site), 1.0) for site in self.sites}
            given = {site: self._spread(site, value, 0.0) for site, value in (baselines or {}).items()}
            run = self._whole.run(
                tokens,
                positions=positions,
                vocab=vocab,
                masks=every,
                baselines=given,
                norm_scales=norm_scales,
                capture=capture,
            )
        return replace(run, captured={name: self._gather(name, value) for name, value in run.captured.items()})

    def _spread(self, site: str, value: Tensor | None, default: float) -> Tensor:
        """A lever over slots as one over the whole model's nodes, with zeros at those left out."""
        index, filled = self._slots[site]
        if value is None:
            value = torch.full(filled.shape, default, dtype=self.dtype, device=self.device)
        lead = (1,) * (value.dim() - 2)
        index, filled = index.view(len(index), *lead, -1), filled.view(len(filled), *lead, -1)
        shape = torch.broadcast_shapes(index.shape, value.shape)
        nodes = value.new_zeros((*shape[:-1], self._whole.sites[site].size))
        return nodes.scatter_add(-1, index.expand(shape), (value * filled).expand(shape))

    def _gather(self, name: str, value: Tensor) -> Tensor:
        """Of what was captured on the whole model: the slots of a site, the kept heads of a pattern, all of a norm."""
        if name in self.norms:
            return value
        index, filled = self._slots[name] if name in self._slots else self._heads(name)
        axis = 3 if name in self._slots else 2
        place = [1] * value.dim()
        place[0], place[axis] = index.shape
        shape = (len(index) if len(value) == 1 else len(value), *value.shape[1:])
        wanted = (*shape[:axis], index.shape[1], *shape[axis + 1 :])
        picked = value.expand(shape).gather(axis, index.view(place).expand(wanted))
        return picked * filled.view(place)

    def _heads(self, pattern: str) -> tuple[Tensor, Tensor]:
        """As `slots`, of the heads that have a kept v node."""
        site = pattern.replace("attn_pattern", "attn_v")
        head = self._whole.sites[site].head
        assert head is not None
        kept = self._keep[site]
        counts = torch.zeros(len(kept), int(head.max()) + 1, dtype=torch.int64, device=self.device)
        return slots(counts.index_add(1, head, kept.long()) > 0)
