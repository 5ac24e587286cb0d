"""What the extractions of one task leave for its checks, and how a crash of either becomes a finding."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from faithcheck.bench import Bench
from faithcheck.check import Control, Measurement, Trial
from faithcheck.judging import Finding
from faithcheck.model import Model
from faithcheck.plugins import one_line
from faithcheck.subject import Subject
from faithcheck.untouched import Snapshot, of_runs
from faithcheck.verdict import Verdict


@dataclass
class TaskState:
    """What the extractions of one task left for its checks."""

    bench: Bench
    unfit: str | None
    behaviour: Tensor
    """What `of_runs` gave on the validation prompts before anything was extracted."""
    glimpse: Tensor
    """Those on a few of them, as `lent.glimpse` gives them."""
    declared: Snapshot
    """The model's sites and norms at that time."""
    subjects: list[Subject] = field(default_factory=list)
    controls: dict[str, Sequence[Control] | Measurement | Finding] = field(default_factory=dict)
    trials: dict[str, list[Trial]] = field(default_factory=dict)
    broken: Finding | None = None
    """Why there are no more extractions: one failed."""
    changed: bool = False
    """Whether an extraction changed the model."""
    lost: Finding | None = None
    """Why there is nothing to judge: the model itself fails on the task, or the given circuit does."""

    def forget(self) -> None:
        """Where the task is done: circuits keep what was computed on them, controls their models."""
        for held in (self.subjects, self.controls, self.trials):
            held.clear()
        self.bench.forget_runs()


def behaviour(bench: Bench, model: Model) -> Tensor:
    """What `of_runs` gives on the task's validation prompts."""
    return of_runs(model, bench.prompts("validation"))


def crash(check: str, task: str, what: str, error: Exception) -> Finding:
    details = "".join(traceback.format_exception(error))
    return Finding(check, task, Verdict.ERROR, f"{what}: {one_line(error)}", details=details)
