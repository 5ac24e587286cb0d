"""What an extraction method sees and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.ablation import Ablation
    from faithcheck.circuit import NodeScores, Norms
    from faithcheck.losses import LossKind
    from faithcheck.model import Model
    from faithcheck.prompts import PromptSet


@dataclass(frozen=True)
class Budget:
    """What an extraction may use: `memory` in bytes, by which a method splits its batches; `seconds`, after which the
    harness stops it."""

    memory: int = 2 << 30
    seconds: float = 3600.0


@dataclass(frozen=True)
class Problem:
    """All that a method may see. `prompts` is the train split only.

    `losses` runs the model under masks as a circuit of this problem is run; a method that calls `model.run` itself
    passes `baselines` and `norm_scales` to it.
    """

    model: Model
    prompts: PromptSet
    loss: LossKind
    target_loss: float
    ablation: Ablation
    norms: Norms
    seed: int
    device: str = "cpu"
    budget: Budget = field(default_factory=Budget)

    def baselines(self, prompts: PromptSet | None = None) -> dict[str, Tensor]:
        """What ablated nodes take on some of the prompts, all by default: {site: broadcastable to [member, prompt, pos,
        node]}, empty for zero ablation."""
        from faithcheck.baselines import baselines_on

        return baselines_on(self.ablation, self.model, self._of(prompts).partners)

    def norm_scales(self, prompts: PromptSet | None = None) -> dict[str, Tensor] | None:
        """The scales that norms divide by on some of the prompts, all by default: None where norms are live."""
        from faithcheck.scales import norm_scales

        return norm_scales(self.model, self._of(prompts)) if self.norms == "frozen" else None

    def losses(self, masks: Mapping[str, Tensor], prompts: PromptSet | None = None) -> Tensor:
        """float[member, prompt]: the problem's loss in nats on some of the prompts, all by default, under masks
        {site: float in [0, 1], as `Model.run` takes them}; a site left out is on. Leaves a graph to masks that want
        gradients."""
        from faithcheck.losses import prompt_losses

        prompts = self._of(prompts)
        run = self.model.run(
            prompts.tokens,
            positions=prompts.positions,
            masks=masks,
            baselines=self.baselines(prompts),
            norm_scales=self.norm_scales(prompts),
        )
        return prompt_losses(run.logits, prompts.targets, prompts.distractors, self.loss)

    def _of(self, prompts: PromptSet | None) -> PromptSet:
        return self.prompts if prompts is None else prompts


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
