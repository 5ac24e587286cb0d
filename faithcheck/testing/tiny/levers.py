"""What one call of `Model.run` asks to change and to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from faithcheck.model import Site

ByName = Mapping[str, Tensor]


class Places(Protocol):
    """What of a model the levers have to know."""

    name: str
    sites: dict[str, Site]
    norms: Sequence[str]


class Levers:
    """The masks, baselines and norm scales of a call, as `Model.run` takes them; `captured` fills as it goes.

    Raises ValueError for an unknown name, or a mask or baseline whose last axis is not the site's size.
    """

    def __init__(self, model: Places, masks: ByName, baselines: ByName, norm_scales: ByName, capture: Sequence[str]):
        self.masks, self.baselines, self.norm_scales = masks, baselines, norm_scales
        self._wanted = set(capture)
        self.captured: dict[str, Tensor] = {}
        patterns = {f"{site.layer}.attn_pattern" for site in model.sites.values()}
        _refuse_unknown([*masks, *baselines], model.sites, f"{model.name} has no site")
        _refuse_unknown(norm_scales, model.norms, f"{model.name} has no norm")
        _refuse_unknown(capture, {*model.sites, *model.norms, *patterns}, f"{model.name} has no site, norm or pattern")
        for name, value in [*masks.items(), *baselines.items()]:
            if value.shape[-1] != model.sites[name].size:
                raise ValueError(f"{name} has {model.sites[name].size} nodes, got {value.shape[-1]}")

    def site(self, name: str, x: Tensor) -> Tensor:
        """x <- m x + (1 - m) b at a site, for x float[member, prompt, pos, node]; x is what is captured there."""
        self.keep(name, x)
        mask = self.masks.get(name)
        if mask is None:
            return x
        if mask.dim() == 2:
            mask = mask[:, None, None]
        return mask * x + (1 - mask) * self.baselines[name] if name in self.baselines else mask * x

    def scale(self, name: str, live: Tensor) -> Tensor:
        """What a norm divides by, float[member, prompt, pos]."""
        given = self.norm_scales.get(name)
        scale = live if given is None else given.expand(torch.broadcast_shapes(given.shape, live.shape))
        self.keep(name, scale)
        return scale

    def keep(self, name: str, value: Tensor) -> None:
        if name in self._wanted:
            self.captured[name] = value


def _refuse_unknown(names: Sequence[str] | ByName, known: object, what: str) -> None:
    for name in names:
        if name not in known:  # type: ignore[operator]
            raise ValueError(f"{what} {name!r}")
