"""The forms that the plain transformer has beside those of the weight-sparse one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from faithcheck.model import SITE_KINDS
from faithcheck_circuits.transformer.config import Config

RESIDUAL_PLACES = ("resid_pre", "resid_mid")
"""Where the residual stream itself may be cut to its largest values: before the attention and before the MLP of a
layer. These are nonlinearities of the stream, not sites."""
PLACES = SITE_KINDS + RESIDUAL_PLACES

NO_SINK = -1e30
"""The logit of a sink that is not there: its share of the attention is 0 to the bit. Minus infinity would be NaN times
the zeros that a restricted model is padded with."""


class PlainConfig(Config):
    """`norm`: RMSNorm, or LayerNorm with a bias. `context`: how many positions have a learned embedding; None, no
    position has. `topk_at`: the places at which `activation_topk` holds.
    """

    norm: Literal["rms", "layer"] = "rms"
    activation: Literal["gelu", "relu"] = "gelu"
    context: int | None = Field(None, gt=0)
    topk_at: tuple[str, ...] = SITE_KINDS

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """As of the weight-sparse transformer, and `position` [position, channel] and a norm's `.bias`."""
        shapes = super().shapes()
        if self.context is not None:
            shapes["position"] = (self.context, self.d_model)
        if self.norm == "layer":
            shapes |= {f"{norm}.bias": (self.d_model,) for norm in self.norms()}
        return shapes

    def topk(self, place: str) -> float | None:
        """The share of values that is kept at a place, None where all are."""
        return self.activation_topk if place in self.topk_at else None

    def as_sparse(self) -> Config | None:
        """The same form as the weight-sparse transformer knows it; None where it does not compute that."""
        everywhere = self.activation_topk is None or set(self.topk_at) == set(SITE_KINDS)
        if self.norm != "rms" or self.activation != "gelu" or self.context is not None or not everywhere:
            return None
        return Config(**{name: getattr(self, name) for name in Config.model_fields})
