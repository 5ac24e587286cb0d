"""The schema of a task file, as written: no meaning is checked here but types and keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from faithcheck.schema_types import Frozen, Text, Version1

SPLITS = ("train", "validation", "test")
_TAGS = ("plain", "grouped")
_List = Annotated[list[Text], Field(min_length=1)]


def _one_attribute(groups: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
    if len(groups) != 1:
        raise ValueError(f"found {len(groups)} attributes ({', '.join(groups)}); allowed: one")
    return groups


def _shape(values: Any) -> str | None:
    return "plain" if isinstance(values, list) else "grouped" if isinstance(values, dict) else None


Values = Annotated[
    Annotated[_List, Tag("plain")]
    | Annotated[dict[str, dict[str, _List]], AfterValidator(_one_attribute), Tag("grouped")],
    Discriminator(
        _shape,
        custom_error_type="values",
        custom_error_message="a list, or lists grouped as {ATTRIBUTE: {LEVEL: [...]}}",
    ),
]


class DistributionSpec(Frozen):
    """What a split or shift changes: its own values for some slots, its own templates, its own conditions."""

    slots: dict[str, Values] = Field(default_factory=dict)
    templates: Values | None = None
    where: list[Text] | None = None


class SplitsSpec(Frozen):
    """The three splits; all are required."""

    train: DistributionSpec
    validation: DistributionSpec
    test: DistributionSpec


class AnswerSpec(Frozen):
    """Which variable is asked for, and the token that answers each of its levels."""

    variable: Text
    tokens: dict[str, Text]


class TaskSpec(Frozen):
    """A task file, version 1."""

    faithcheck_task: Version1
    task: Text
    about: Text
    slots: dict[str, Values] = Field(default_factory=dict)
    templates: Values | None = None
    where: list[Text] = Field(default_factory=list)
    unit: Text
    variables: Annotated[dict[str, Text], Field(min_length=1)]
    answer: AnswerSpec
    nonsense: dict[str, Text]
    loss: Literal["full", "binary"] = "full"
    splits: SplitsSpec
    shifts: Annotated[dict[str, DistributionSpec], Field(min_length=1)]


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
