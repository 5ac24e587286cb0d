"""The sites of a transformer."""

from __future__ import annotations

import torch

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
