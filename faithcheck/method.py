"""What an extraction method sees and returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from faithcheck.ablation import Ablation
    from faithcheck.circuit import NodeScores, Norms
    from faithcheck.losses import LossKind
    from faithcheck.model import Model
    from faithcheck.prompts import PromptSet


@dataclass(frozen=True)
class Budget:
    """What an extraction may use: `memory` in bytes, by which a method splits its batches."""

    memory: int = 2 << 30


@dataclass(frozen=True)
class Problem:
    """All that a method may see. `prompts` is the train split only."""

    model: Model
    prompts: PromptSet
    loss: LossKind
    target_loss: float
    ablation: Ablation
    norms: Norms
    seed: int
    device: str = "cpu"
    budget: Budget = field(default_factory=Budget)


@runtime_checkable
class Method(Protocol):
    """Built with its `Parameters`.

    A method may also have `extract_many(problems) -> list[NodeScores]`. It gets the problems of several seeds of one
    task at once, its own and its controls.
    """

    name: str

    def extract(self, problem: Problem) -> NodeScores: ...


def extract_many(method: Method, problems: Sequence[Problem]) -> list[NodeScores]:
    """The scores of each problem, in one call where the method can take several."""
    together = getattr(method, "extract_many", None)
    if together is not None:
        return list(together(problems))
    return [method.extract(problem) for problem in problems]
