"""A circuit ready to run: through the model's `restrict` where it has one and ablated nodes are 0, else through masks
on the whole model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from faithcheck.baselines import baselines_on
from faithcheck.circuit import Circuit
from faithcheck.heads import group_size, query_heads
from faithcheck.model import Model, Run
from faithcheck.prompts import PromptSet


class CompiledCircuit:
    """Captured patterns hold only the query heads that read a head with a kept attn_v node, in ascending order."""

    def __init__(self, model: Model, circuit: Circuit, trainable: bool = False):
        self.circuit = circuit
        self._keep = {site: circuit.keep[site].to(model.device) for site in model.sites}
        self._trainable = trainable
        self._restricts = hasattr(model, "restrict") and circuit.ablation.kind == "zero"
        self.model = model.restrict(self._keep, circuit.ablation, trainable) if self._restricts else model

    @cached_property
    def nodes(self) -> list[tuple[str, int]]:
        """(site, node of the whole model) of every kept node, in the order of the model's sites."""
        return [(site, node) for site, kept in self._keep.items() for node in kept.nonzero().flatten().tolist()]

    @cached_property
    def _rank(self) -> dict[str, list[int]]:
        """{site: a kept node's place among the kept ones, by node}."""
        return {site: (kept.cumsum(0) - 1).tolist() for site, kept in self._keep.items()}

    def run(
        self,
        prompts: PromptSet,
        *,
        masks: Mapping[str, Tensor] | None = None,
        baselines: Mapping[str, Tensor] | None = None,
        norm_scales: Mapping[str, Tensor] | None = None,
        capture: Sequence[str] = (),
    ) -> Run:
        """Logits at the answer positions, float[member, prompt, token].

        Masks, baselines and captures are over the kept nodes; where no baselines are given they take the circuit's.
        """
        if not self._restricts:
            on = {site: kept.to(self.model.dtype)[None] for site, kept in self._keep.items()}
            masks = on | {site: self._widen(site, mask) for site, mask in (masks or {}).items()}
            baselines = self._baselines(prompts, baselines or {})
        with torch.set_grad_enabled(self._trainable):
            run = self.model.run(
                prompts.tokens,
                positions=prompts.positions,
                masks=masks,
                baselines=baselines,
                norm_scales=norm_scales,
                capture=capture,
            )
        if self._restricts:
            return run
        return Run(run.logits, {n: self._narrow(n, value) for n, value in run.captured.items()})

    def size(self, site: str) -> int:
        return int(self._keep[site].sum())

    def without(self, groups: Sequence[Sequence[tuple[str, int]]]) -> dict[str, Tensor]:
        """Masks over the kept nodes, one member a group, each with the group's nodes off: {site: [member, kept]}."""
        off: dict[str, list[tuple[int, int]]] = {}
        for member, group in enumerate(groups):
            for site, node in group:
                off.setdefault(site, []).append((member, self._rank[site][node]))
        masks = {}
        for site, pairs in off.items():
            mask = torch.ones(len(groups), self.size(site), dtype=self.model.dtype)
            mask[tuple(torch.tensor(pairs).T)] = 0.0
            masks[site] = mask.to(self.model.device)
        return masks

    def _baselines(self, prompts: PromptSet, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What every node takes: those that are not kept, and kept ones that nothing is given for, the circuit's."""
        own = baselines_on(self.circuit.ablation, self.model, prompts.partners)
        for site, value in given.items():
            own[site] = self._widen(site, value, own.get(site))
        return own

    def _widen(self, site: str, value: Tensor, under: Tensor | None = None) -> Tensor:
        """A value over the kept nodes as one over all nodes; elsewhere that of `under`, or 0."""
        kept = self._keep[site]
        under = value.new_zeros(len(kept)) if under is None else under
        shape = torch.broadcast_shapes(value.shape[:-1], under.shape[:-1])
        return under.expand(*shape, -1).index_copy(-1, kept.nonzero().flatten(), value.expand(*shape, -1))

    def _narrow(self, name: str, value: Tensor) -> Tensor:
        if name in self._keep:
            return value[..., self._keep[name]]
        layer, _, what = name.partition(".")
        if what != "attn_pattern":
            return value
        head = self.model.sites[f"{layer}.attn_v"].head
        assert head is not None
        used = torch.unique(head[self._keep[f"{layer}.attn_v"]]).tolist()
        return value[:, :, query_heads(used, group_size(self.model, int(layer)))]
