"""What the engine yields. Progress, files and reports are made from these, and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
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
    """A circuit under test. `loss` is on the validation prompts; `edges` None where the model cannot count them."""

    task: str
    seed: int | None
    circuit: Circuit
    edges: int | None
    loss: float
    reached: bool
    key: str


@dataclass(frozen=True)
class CheckJudged:
    finding: Finding
    key: str


Event = RunStarted | CaseStarted | CaseFinished | CircuitFound | CheckJudged
