"""The sites of a transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from faithcheck.model import SITE_KINDS, Site
from faithcheck_circuits.transformer.config import Config


def sites_of(config: Config, device: torch.device) -> dict[str, Site]:
    """Every site, in order of execution."""
    head = torch.arange(config.d_model, device=device) // config.d_head
    return {
        f"{layer}.{kind}": Site(
            config.size(kind), layer, kind, head if kind in ("attn_q", "attn_k", "attn_v") else None
        )
        for layer in range(config.layers)
        for kind in SITE_KINDS
    }


def channels_of(keep: Mapping[str, Tensor], kinds: Sequence[str]) -> Tensor:
    """bool[member, channel]: those of the residual stream that are kept nodes of these kinds of sites."""
    return torch.stack([kept for site, kept in keep.items() if site.split(".")[1] in kinds]).any(0)
