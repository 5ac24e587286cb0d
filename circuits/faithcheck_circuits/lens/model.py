"""A transformer run through TransformerLens's hook points, as a `faithcheck.model.Model`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from faithcheck.model import Run, Site, Tokenizer
from faithcheck.run_names import check_names
from faithcheck_circuits.lens.levers import Recorder, Rows, four_axes, hooked, members_of, only_at
from faithcheck_circuits.lens.points import Points
from faithcheck_circuits.lens.source import Source

_RECONSTRUCTED = "A forward hook edited hook_scale/hook_normalized"
"""TransformerLens warns that a norm with another scale is computed in another order of operations."""


class LensModel:
    """See `faithcheck.model.Model`. The weights are the checkpoint's, in float32; nothing is folded into anything.

    `source`: the checkpoint that it was built from.
    """

    own_prompts = True

    def __init__(self, source: Source, bridge: Any, points: Points, sites: Mapping[str, Site], tokenizer: Tokenizer):
        self.source, self.tokenizer, self.sites = source, tokenizer, sites
        self.name, self.fingerprint = source.name, source.fingerprint
        self.device, self.dtype = source.device, source.dtype
        self.norms = tuple(points.norms)
        self._bridge, self._points = bridge, points

    def run(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        vocab: Tensor | None = None,
        masks: Mapping[str, Tensor] | None = None,
        baselines: Mapping[str, Tensor] | None = None,
        norm_scales: Mapping[str, Tensor] | None = None,
        capture: Sequence[str] = (),
    ) -> Run:
        """See `faithcheck.model.Model.run`. Every member axis of the result is as long as there are members.

        Raises ValueError also for prompts longer than the model's context.
        """
        masks, baselines, norm_scales = masks or {}, baselines or {}, norm_scales or {}
        check_names(self, masks, baselines, norm_scales, capture)
        if tokens.shape[-1] > self.source.context:
            raise ValueError(f"{self.name} takes {self.source.context} tokens, got {tokens.shape[-1]}")
        masks, baselines = ({n: four_axes(v) for n, v in levers.items()} for levers in (masks, baselines))
        scales = {name: scale.reshape(*(1,) * (3 - scale.dim()), *scale.shape) for name, scale in norm_scales.items()}
        rows = Rows(members_of(tokens, [*masks.values(), *baselines.values(), *scales.values()]), tokens.shape[-2])
        recorder = Recorder(rows)
        hooks = [*self._hooks(recorder, masks, baselines, scales, set(capture))]
        if positions is not None:
            answers = positions.expand(rows.members, rows.prompts).flatten()
            hooks.append((self._points.unembed, only_at(answers)))
        logits = rows.split(self.forward(rows.spread(tokens), hooks))
        logits = logits if positions is None else logits.squeeze(2)
        return Run(logits if vocab is None else logits[..., vocab], recorder.captured)

    def shuffled(self, seed: int) -> LensModel:
        """The same architecture with every tensor's values permuted within the tensor; tied tensors stay tied."""
        from faithcheck_circuits.lens.building import rebuild

        return rebuild(self.source.shuffled(seed), self.tokenizer)

    def forward(self, tokens: Tensor, hooks: Sequence[tuple[Any, Any]]) -> Tensor:
        with hooked(hooks), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_RECONSTRUCTED)
            return self._bridge(tokens, return_type="logits", use_cache=False)

    def _hooks(
        self,
        recorder: Recorder,
        masks: Mapping[str, Tensor],
        baselines: Mapping[str, Tensor],
        scales: Mapping[str, Tensor],
        capture: set[str],
    ) -> Iterable[tuple[Any, Any]]:
        for name in self.sites:
            if name in masks or name in capture:
                hook = recorder.site(name, name in capture, masks.get(name), baselines.get(name))
                yield self._points.sites[name], hook
        for name in self.norms:
            if name in scales or name in capture:
                yield self._points.norms[name], recorder.norm(name, name in capture, scales.get(name))
        for name in capture & self._points.patterns.keys():
            yield self._points.patterns[name], recorder.pattern(name)
