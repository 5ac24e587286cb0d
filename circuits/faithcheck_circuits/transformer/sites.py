"""The sites of a transformer, and which names a run may use."""

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


def check_names(
    name: str,
    sites: Mapping[str, Site],
    config: Config,
    levers: tuple[Mapping[str, Tensor] | None, Mapping[str, Tensor] | None, Mapping[str, Tensor] | None],
    capture: Sequence[str],
) -> None:
    """Masks, baselines and norm scales of a run of the model `name`, and what it is to capture.

    Raises ValueError for an unknown site, norm or pattern, or a mask or baseline of another size than its site.
    """
    masks, baselines, norm_scales = (lever or {} for lever in levers)
    for site, value in [*masks.items(), *baselines.items()]:
        if site not in sites:
            raise ValueError(f"{name} has no site {site!r}")
        if value.shape[-1] != sites[site].size:
            raise ValueError(f"{site} has {sites[site].size} nodes, got {value.shape[-1]}")
    norms, patterns = config.norms(), [f"{layer}.attn_pattern" for layer in range(config.layers)]
    for norm in norm_scales:
        if norm not in norms:
            raise ValueError(f"{name} has no norm {norm!r}")
    for captured in capture:
        if captured not in norms and captured not in sites and captured not in patterns:
            raise ValueError(f"{name} has no site, norm or pattern {captured!r}")
