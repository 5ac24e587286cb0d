"""What a check is: a question about a circuit or a method, answered by numbers that gates judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.bench import Bench
    from faithcheck.cutting import Cut
    from faithcheck.estimate import Estimate
    from faithcheck.model import Model
    from faithcheck.subject import Subject
    from faithcheck.verdict import Verdict


@dataclass(frozen=True)
class Metric:
    """One number. `estimate` None: it was not reached. `seed` None: it is about all seeds. `on`: a shift or a norm.

    Raises TypeError where a name is no text or the seed no whole number: result.json could not be read again.
    """

    name: str
    estimate: Estimate | None
    seed: int | None = None
    on: str | None = None
    noun: str = "prompts"

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and isinstance(self.on, str | None)):
            raise TypeError(f"a metric's name and what it is on must be text: found {self.name!r}, {self.on!r}")
        if type(self.seed) not in (int, type(None)):
            raise TypeError(f"the seed of metric {self.name!r} must be a whole number: found {self.seed!r}")


@dataclass(frozen=True)
class Measurement:
    """What a check found on one circuit, or about a method.

    `not_applicable`, `undecided` or `failed`, a sentence, takes the place of the gates' verdict. `remark` is added to
    the reason whatever the verdict. `evidence` is kept as data, and with it `labels`: names that its axes go by, or
    words that its tokens are, the same for all circuits of a task.
    """

    metrics: Sequence[Metric] = ()
    evidence: Mapping[str, Tensor] = field(default_factory=dict)
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    not_applicable: str | None = None
    undecided: str | None = None
    failed: str | None = None
    remark: str = ""


@dataclass(frozen=True)
class Control:
    """An extraction that a faithful method should not manage: the task's prompts with other answer tokens, or on
    another model.

    `answers`: the target of each answer class; None, the task's own. `model`: one with the sites, tokenizer and device
    of the model under test; None, that model itself.
    """

    seed: int
    answers: tuple[int, int] | None = None
    model: Model | None = None


@dataclass(frozen=True)
class Trial:
    """A method's two extractions of one seed, both under the full cross-entropy: on the task, and on the control."""

    control: Control
    real: Cut
    contrast: Cut
    out_of_reach: bool
    """Whether the method reported that the control's loss had flattened above the target."""


class CircuitCheck(Protocol):
    """Judges each circuit. `gates`: {metric: gate}, all of which must pass; other metrics are reported only.

    May also have `summary(metrics, gates) -> list[Metric]`: metrics about all circuits together, reported only;
    `needs_circuit = False`, where it judges circuits that missed the target loss too; and `uses_shifts = True`, where
    it looks at the task's shifts.
    """

    name: ClassVar[str]
    scope: ClassVar[str]
    question: ClassVar[str]
    gates: ClassVar[Mapping[str, str]]

    def measure(self, subject: Subject) -> Measurement: ...

    def sentence(self, metric: Metric, verdict: Verdict) -> str:
        """What the gated metric says, in plain words."""
        ...


class MethodCheck(Protocol):
    """Judges the method, by one value per seed from extractions that the harness runs for it."""

    name: ClassVar[str]
    scope: ClassVar[str]
    question: ClassVar[str]
    gates: ClassVar[Mapping[str, str]]

    def controls(self, bench: Bench, seeds: Sequence[int]) -> Sequence[Control] | Measurement:
        """The controls to extract, one a seed; or a Measurement that says why there are none."""
        ...

    def measure(self, bench: Bench, trials: Sequence[Trial]) -> Measurement: ...

    def sentence(self, metric: Metric, verdict: Verdict) -> str: ...
