"""What the extractions of one task leave for its checks, and how a crash of either becomes a finding."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.bench import Bench
from faithcheck.check import Control, Measurement, Trial
from faithcheck.judging import Finding
from faithcheck.model import Model
from faithcheck.plugins import one_line
from faithcheck.subject import Subject
from faithcheck.untouched import Snapshot
from faithcheck.verdict import Verdict


@dataclass
class TaskState:
    """What the extractions of one task left for its checks."""

    bench: Bench
    unfit: str | None
    behaviour: Tensor
    """The model's logits on the validation prompts before anything was extracted."""
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


def behaviour(bench: Bench, model: Model) -> Tensor:
    """The logits of a model on the task's validation prompts, float[1 or 2, prompt, token].

    Also as its restriction to all nodes gives them under masks that are all on: a model may compute these from other
    copies of its weights.
    """
    prompts = bench.prompts("validation")
    sizes, device = {name: site.size for name, site in model.sites.items()}, model.device
    with torch.no_grad():
        logits = [model.run(prompts.tokens, positions=prompts.positions).logits]
        with suppress(Exception):  # a `restrict` that raises is the error of whoever asks for it
            every = {name: torch.ones(size, dtype=torch.bool, device=device) for name, size in sizes.items()}
            masks = {name: torch.ones(1, size, dtype=model.dtype, device=device) for name, size in sizes.items()}
            restricted = model.restrict(every, Ablation())
            logits.append(restricted.run(prompts.tokens, positions=prompts.positions, masks=masks).logits)
        return torch.cat(logits)


def crash(check: str, task: str, what: str, error: Exception) -> Finding:
    details = "".join(traceback.format_exception(error))
    return Finding(check, task, Verdict.ERROR, f"{what}: {one_line(error)}", details=details)
