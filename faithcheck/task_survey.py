"""What the prompts of a split or shift have in common, without writing each: `validate` must be quick."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from faithcheck.task_distributions import Distribution
from faithcheck.task_parts import Template, Value
from faithcheck.task_prompts import Reading, assignments, fill


@dataclass(frozen=True)
class Survey:
    """The frames and the answer levels that the prompts of one split or shift have. Law: these are just the
    frames and answers that `enumerate_prompts` gives."""

    frames: frozenset[str]
    answers: frozenset[str]


def survey(distribution: Distribution, reading: Reading) -> Survey:
    """Only the slots that a condition ties together are combined; the others are free of one another."""
    frames: set[str] = set()
    answers: set[str] = set()
    for template in distribution.templates:
        tied = [slot for slot in template.unique_slots if slot in distribution.conditioned]
        allowed = list(assignments(distribution, template, tied))
        if allowed:
            answers.update(_answers(template, distribution, reading, allowed))
            frames.update(_frames(template, distribution, reading, tied, allowed))
    return Survey(frozenset(frames), frozenset(answers))


def _answers(
    template: Template, distribution: Distribution, reading: Reading, allowed: Sequence[dict[str, Value]]
) -> Iterable[str]:
    ref = reading.variables[reading.answer]
    if ref.slot in allowed[0]:
        return {ref.read(assignment) or "" for assignment in allowed}
    return distribution.slots[ref.slot].levels


def _frames(
    template: Template,
    distribution: Distribution,
    reading: Reading,
    tied: Sequence[str],
    allowed: Sequence[dict[str, Value]],
) -> Iterable[str]:
    closed = [slot for slot in tied if slot not in reading.open]
    free = [slot for slot in template.unique_slots if slot not in reading.open and slot not in tied]
    together = dict.fromkeys(tuple(assignment[slot].text for slot in closed) for assignment in allowed)
    alone = [[value.text for value in distribution.slots[slot].values] for slot in free]
    for texts in together:
        for others in itertools.product(*alone):
            yield fill(template, dict(zip([*closed, *free], [*texts, *others], strict=True)))
