"""What takes the place of an ablated node's activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

AblationKind = Literal["zero", "mean", "task_mean", "resample"]
KINDS: tuple[AblationKind, ...] = get_args(AblationKind)


@dataclass(frozen=True)
class Ablation:
    """The baseline b of x <- m x + (1 - m) b.

    `zero`: 0. `mean`: the node's mean over a sample of the model's own text (Gao et al. 2025, appendix A.5: over the
    pretraining distribution). `task_mean`: over the task's train prompts. `resample`: its activation on the prompt's
    partner, one of the same length with the other answer (`PromptSet.paired`).

    means: {site: float[node]} of one model; None where the kind needs none, or where they are not measured yet
    (`faithcheck.baselines.measured`).
    """

    kind: AblationKind = "zero"
    means: Mapping[str, Tensor] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"ablation is {self.kind!r}, not {', '.join(KINDS)}")

    @property
    def is_of_means(self) -> bool:
        return self.kind in ("mean", "task_mean")
