"""Every prompt that a split or shift can make, in a fixed order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from faithcheck.task_distributions import Distribution
from faithcheck.task_parts import TEMPLATE, Ref, Template, Value

MAX_PROMPTS = 200_000
BLANK = "___"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of a task.

    `variables` holds the level of each variable, `answer` the level of the answer variable, `unit` the value
    of the unit slot. `roles` gives, for each slot that carries a variable, the characters `text[start:end]`
    that its value takes (the first time, where a template repeats a slot). `frame` is the text with `___` for
    the unit and everything that carries a variable.
    """

    text: str
    variables: dict[str, str]
    answer: str
    unit: str
    roles: dict[str, tuple[int, int]]
    frame: str


@dataclass(frozen=True)
class Reading:
    """How a task reads an assignment of values: its variables, the one that answers, the unit slot."""

    variables: Mapping[str, Ref]
    answer: str
    unit: str

    @cached_property
    def carriers(self) -> frozenset[str]:
        """The slots that carry a variable."""
        return frozenset(ref.slot for ref in self.variables.values()) - {TEMPLATE}

    @cached_property
    def open(self) -> frozenset[str]:
        """The slots that a frame leaves open."""
        return self.carriers | {self.unit}


def combinations(distribution: Distribution) -> int:
    """How many assignments there are before any condition is asked."""
    return sum(
        math.prod(len(distribution.slots[slot].values) for slot in template.unique_slots)
        for template in distribution.templates
    )


def enumerate_prompts(distribution: Distribution, reading: Reading) -> tuple[Prompt, ...]:
    """All distinct prompts: templates in order, and within one the last slot varies fastest.

    Raises:
        ValueError: two assignments give one text but not the same levels.
    """
    found: dict[str, Prompt] = {}
    for template in distribution.templates:
        for assignment in assignments(distribution, template, template.unique_slots):
            prompt = _prompt(template, assignment, reading)
            twin = found.setdefault(prompt.text, prompt)
            if twin is not prompt and twin.variables != prompt.variables:
                raise ValueError(f"{prompt.text!r} can be made with different levels of the task's variables")
    return tuple(found.values())


def texts(distribution: Distribution) -> Iterator[str]:
    """The text of every prompt; one that can be made twice comes twice."""
    for template in distribution.templates:
        for assignment in assignments(distribution, template, template.unique_slots):
            yield fill(template, {slot: assignment[slot].text for slot in template.slots})


def assignments(distribution: Distribution, template: Template, slots: Sequence[str]) -> Iterator[dict[str, Value]]:
    """A value for each of `slots`, and the template, in every way that the conditions allow.

    `slots` must hold every slot that a condition reads.
    """
    for values in itertools.product(*(distribution.slots[slot].values for slot in slots)):
        assignment = dict(zip(slots, values, strict=True))
        assignment[TEMPLATE] = template.value
        if all(condition.holds(assignment) for condition in distribution.where):
            yield assignment


def fill(template: Template, texts: Mapping[str, str]) -> str:
    """The template with its slots filled; a slot left out stays open."""
    pieces = [template.literals[0]]
    for slot, literal in zip(template.slots, template.literals[1:], strict=True):
        pieces += (texts.get(slot, BLANK), literal)
    return "".join(pieces)


def _prompt(template: Template, assignment: Mapping[str, Value], reading: Reading) -> Prompt:
    texts = {slot: assignment[slot].text for slot in template.slots}
    variables = {name: ref.read(assignment) or "" for name, ref in reading.variables.items()}
    return Prompt(
        text=fill(template, texts),
        variables=variables,
        answer=variables[reading.answer],
        unit=texts[reading.unit],
        roles=_roles(template, texts, reading),
        frame=fill(template, {slot: text for slot, text in texts.items() if slot not in reading.open}),
    )


def _roles(template: Template, texts: Mapping[str, str], reading: Reading) -> dict[str, tuple[int, int]]:
    roles: dict[str, tuple[int, int]] = {}
    start = len(template.literals[0])
    for slot, literal in zip(template.slots, template.literals[1:], strict=True):
        end = start + len(texts[slot])
        if slot in reading.carriers:
            roles.setdefault(slot, (start, end))
        start = end + len(literal)
    return roles
