"""The parts a task is written with: slots and their values, templates, conditions. All are immutable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from faithcheck.marked_yaml import KeyPath

TEMPLATE = "template"
_SLOT = re.compile(r"\{([A-Za-z_]\w*)\}")
_REF = re.compile(r"([A-Za-z_]\w*)(?:\.([A-Za-z_]\w*))?")


@dataclass(frozen=True, slots=True)
class Value:
    """One text that may stand in a slot, and its level where the slot's values are grouped."""

    text: str
    level: str | None
    path: KeyPath


@dataclass(frozen=True)
class Choices:
    """All values of one slot (or all templates), grouped by at most one attribute; written at `path`."""

    attribute: str | None
    values: tuple[Value, ...]
    path: KeyPath

    @classmethod
    def of(cls, written: list[str] | dict[str, dict[str, list[str]]], path: KeyPath) -> Choices:
        if isinstance(written, list):
            return cls(None, tuple(Value(text, None, (*path, i)) for i, text in enumerate(written)), path)
        [(attribute, groups)] = written.items()
        values = (
            Value(text, level, (*path, attribute, level, i))
            for level, texts in groups.items()
            for i, text in enumerate(texts)
        )
        return cls(attribute, tuple(values), path)

    @property
    def is_default(self) -> bool:
        """Whether these are a task's default values, not those of one split or shift."""
        return self.path[0] in ("slots", "templates")

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value.level for value in self.values if value.level is not None))


@dataclass(frozen=True)
class Template:
    """A text with open slots: `literals[0]`, a slot, `literals[1]`, a slot, ... `literals[-1]`."""

    literals: tuple[str, ...]
    slots: tuple[str, ...]
    value: Value

    @classmethod
    def parse(cls, value: Value) -> Template:
        """Raises ValueError where a brace does not belong to a `{slot}`."""
        pieces = _SLOT.split(value.text)
        literals = tuple(pieces[::2])
        if any(brace in literal for literal in literals for brace in "{}"):
            raise ValueError(f"{value.text!r} has a brace that belongs to no {{slot}}")
        return cls(literals, tuple(pieces[1::2]), value)

    @property
    def unique_slots(self) -> tuple[str, ...]:
        """The slots in order of first use."""
        return tuple(dict.fromkeys(self.slots))


@dataclass(frozen=True)
class Ref:
    """`name` (the text in a slot), `name.gender` (its level), or `template.kind` (the template's level)."""

    slot: str
    attribute: str | None

    @classmethod
    def parse(cls, text: str, attribute_needed: bool = False) -> Ref:
        """Raises ValueError on other text than `slot` (unless an attribute is needed) or `slot.attribute`."""
        match = _REF.fullmatch(text.strip())
        if match is None or (match[2] is None and (attribute_needed or match[1] == TEMPLATE)):
            allowed = "SLOT.ATTRIBUTE" if attribute_needed else "SLOT or SLOT.ATTRIBUTE"
            raise ValueError(f"found {text!r}; allowed: {allowed}")
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"{self.slot}.{self.attribute}" if self.attribute else self.slot

    def read(self, assignment: Mapping[str, Value]) -> str | None:
        """What it comes to, given the value in each slot (the template's own under `template`)."""
        value = assignment[self.slot]
        return value.level if self.attribute else value.text


@dataclass(frozen=True)
class Condition:
    """`left == right` or `left != right`, written at `path`."""

    left: Ref
    right: Ref
    equal: bool
    path: KeyPath

    @classmethod
    def parse(cls, text: str, path: KeyPath) -> Condition:
        """Raises ValueError on other text than `A == B` and `A != B`."""
        left, operator, right = _halves(text)
        return cls(Ref.parse(left), Ref.parse(right), operator == "==", path)

    def holds(self, assignment: Mapping[str, Value]) -> bool:
        return (self.left.read(assignment) == self.right.read(assignment)) is self.equal


def _halves(text: str) -> tuple[str, str, str]:
    parts = re.split(r"(==|!=)", text)
    if len(parts) != 3:
        raise ValueError(f"found {text!r}; allowed: A == B or A != B, with A and B a SLOT or SLOT.ATTRIBUTE")
    return parts[0], parts[1], parts[2]
