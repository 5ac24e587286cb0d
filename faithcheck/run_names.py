"""What a run may name, and what of a model has to be there: for adapters, and for those who are given one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from faithcheck.model import REQUIRED, Site

if TYPE_CHECKING:
    from torch import Tensor

    ByName = Mapping[str, Tensor] | None


class Named(Protocol):
    """What of a model its names are."""

    @property
    def name(self) -> str: ...
    @property
    def sites(self) -> Mapping[str, Site]: ...
    @property
    def norms(self) -> Sequence[str]: ...


def check_names(
    model: Named, masks: ByName, baselines: ByName = None, norm_scales: ByName = None, capture: Sequence[str] = ()
) -> None:
    """Raises ValueError, as `Model.run` has to, for an unknown site, norm or pattern, or a mask or baseline of another
    size than its site."""
    for site, value in [*(masks or {}).items(), *(baselines or {}).items()]:
        if site not in model.sites:
            raise ValueError(f"{model.name} has no site {site!r}")
        if value.shape[-1] != model.sites[site].size:
            raise ValueError(f"{site} has {model.sites[site].size} nodes, got {value.shape[-1]}")
    for norm in norm_scales or {}:
        if norm not in model.norms:
            raise ValueError(f"{model.name} has no norm {norm!r}")
    if capture:
        known = {*model.sites, *model.norms, *(f"{site.layer}.attn_pattern" for site in model.sites.values())}
        for name in capture:
            if name not in known:
                raise ValueError(f"{model.name} has no site, norm or pattern {name!r}")


def pattern_names(sites: Mapping[str, Site]) -> list[str]:
    """Those of the layers whose values are among the sites."""
    return [f"{site.layer}.attn_pattern" for site in sites.values() if site.kind == "attn_v"]


def missing_parts(model: object) -> list[str]:
    """What a model has to have and this lacks."""
    return [part for part in REQUIRED if not hasattr(model, part)]
