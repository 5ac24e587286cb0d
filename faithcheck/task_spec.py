"""The schema of a task file, as written: no meaning is checked here but types and keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from faithcheck.schema_types import Frozen, Text, Version1

SPLITS = ("train", "validation", "test")
_TAGS = ("plain", "grouped")
_List = Annotated[list[Text], Field(min_length=1)]


_ONE = Field(json_schema_extra={"minProperties": 1, "maxProperties": 1})


def _one_attribute(groups: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
    if len(groups) != 1:
        raise ValueError(f"found {len(groups)} attributes ({', '.join(groups)}); allowed: one")
    return groups


def _shape(values: Any) -> str | None:
    return "plain" if isinstance(values, list) else "grouped" if isinstance(values, dict) else None


Values = Annotated[
    Annotated[_List, Tag("plain")]
    | Annotated[dict[str, dict[str, _List]], AfterValidator(_one_attribute), _ONE, Tag("grouped")],
    Discriminator(
        _shape,
        custom_error_type="values",
        custom_error_message="a list, or lists grouped as {ATTRIBUTE: {LEVEL: [...]}}",
    ),
]


class DistributionSpec(Frozen):
    """What a split or shift changes: its own values for some slots, its own templates, its own conditions."""

    slots: dict[str, Values] = Field(default_factory=dict)
    """Values for slots, in the place of the task's own."""
    templates: Values | None = None
    """Templates in the place of the task's own."""
    where: list[Text] | None = None
    """Conditions in the place of the task's own."""


class SplitsSpec(Frozen):
    """The three splits; all are required."""

    train: DistributionSpec
    """What a method sees."""
    validation: DistributionSpec
    """What circuits are cut on."""
    test: DistributionSpec
    """What checks measure on; 200 prompts at least, or they cannot decide."""


class AnswerSpec(Frozen):
    """Which variable is asked for, and the token that answers each of its levels."""

    variable: Text
    """A variable with two levels."""
    tokens: dict[str, Text]
    """{LEVEL: TOKEN}; the other level's token is the distractor."""


class TaskSpec(Frozen):
    """A task file, version 1."""

    faithcheck_task: Version1
    """The version of this format."""
    task: Text
    """The task's name."""
    about: Text
    """A line for people."""
    slots: dict[str, Values] = Field(default_factory=dict)
    """What is filled in: {SLOT: VALUES}, where values are a list, or lists grouped as {ATTRIBUTE: {LEVEL: [...]}}."""
    templates: Values | None = None
    """The prompts, each with {slots} to fill in, as a list or grouped like values."""
    where: list[Text] = Field(default_factory=list)
    """Conditions that every prompt meets: SLOT or SLOT.ATTRIBUTE, then == or !=, then another."""
    unit: Text
    """The slot whose values are the independent units that intervals count; 20 of them at least."""
    variables: Annotated[dict[str, Text], Field(min_length=1)]
    """What prompts differ in: {VARIABLE: SLOT.ATTRIBUTE}, or template.ATTRIBUTE."""
    answer: AnswerSpec
    """What is asked for, and the tokens that answer it."""
    nonsense: dict[str, Text]
    """{LEVEL: TOKEN}: tokens in the place of the answers, for the check nonsense_control."""
    loss: Literal["full", "binary"] = "full"
    """Cross-entropy over all tokens (full), or over answer and distractor only (binary)."""
    splits: SplitsSpec
    """Train, validation and test; no prompt may be in two of them."""
    shifts: Annotated[dict[str, DistributionSpec], Field(min_length=1)]
    """{SHIFT: ...}: other distributions of the same task, one at least, for the check generalization."""


def path_as_written(data: Any, loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """`loc` without the parts that are names of alternatives in this schema and not keys of `data`."""
    path: list[str | int] = []
    for part in loc:
        inside = data[part] if _has(data, part) else None
        if inside is None and part in _TAGS:
            continue
        path.append(part)
        data = inside
    return tuple(path)


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data
