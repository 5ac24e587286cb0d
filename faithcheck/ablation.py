"""What takes the place of an ablated node's activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AblationKind = Literal["zero", "mean", "resample"]


@dataclass(frozen=True)
class Ablation:
    """Zero ablation sets b = 0 in x <- m x + (1 - m) b.

    Raises NotImplementedError for mean and resample ablation, which this version does not compute.
    """

    kind: AblationKind = "zero"

    def __post_init__(self) -> None:
        if self.kind != "zero":
            raise NotImplementedError(f"{self.kind} ablation is not available in this version; use zero")
