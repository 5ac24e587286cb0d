"""What one call of `Model.run` asks to change and to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from faithcheck.run_names import Named, check_names

ByName = Mapping[str, Tensor]


class Levers:
    """The masks, baselines and norm scales of a call, as `Model.run` takes them; `captured` fills as it goes.

    Raises ValueError for an unknown name, or a mask or baseline whose last axis is not the site's size.
    """

    def __init__(self, model: Named, masks: ByName, baselines: ByName, norm_scales: ByName, capture: Sequence[str]):
        self.masks, self.baselines, self.norm_scales = masks, baselines, norm_scales
        self._wanted = set(capture)
        self.captured: dict[str, Tensor] = {}
        check_names(model, masks, baselines, norm_scales, capture)

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
