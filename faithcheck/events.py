"""What the engine yields. Progress, files and reports are made from these, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.circuit import Circuit
    from faithcheck.judging import Finding


@dataclass(frozen=True)
class Case:
    """One unit of work. `key` is the SHA-256 of all that its result depends on; `weight`, about how long it takes."""

    kind: Literal["extract", "check"]
    title: str
    key: str
    weight: float


@dataclass(frozen=True)
class RunStarted:
    cases: Sequence[Case]


@dataclass(frozen=True)
class CaseStarted:
    case: Case


@dataclass(frozen=True)
class CaseFinished:
    case: Case
    seconds: float
    outcome: str


@dataclass(frozen=True)
class CircuitFound:
    """A circuit under test. `loss` is on the validation prompts; `edges` None where the model cannot count them.

    `evidence` is what a report draws it from (`portrait`); where that could not be taken, `undrawn` says why.
    """

    task: str
    seed: int | None
    circuit: Circuit
    edges: int | None
    loss: float
    reached: bool
    key: str
    evidence: Mapping[str, Tensor] = field(default_factory=dict)
    undrawn: str = ""


@dataclass(frozen=True)
class CheckJudged:
    """`question` is what the check asks."""

    finding: Finding
    key: str
    question: str = ""


Event = RunStarted | CaseStarted | CaseFinished | CircuitFound | CheckJudged
