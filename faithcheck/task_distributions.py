"""The splits and shifts of a task file: defaults and overrides put together, each part parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from faithcheck.marked_yaml import KeyPath
from faithcheck.reasons import Reasons
from faithcheck.task_parts import TEMPLATE, Choices, Condition, Template
from faithcheck.task_spec import SPLITS, DistributionSpec, TaskSpec


@dataclass(frozen=True)
class Distribution:
    """One split or shift: what may stand in each slot, the templates, the conditions."""

    name: str
    path: KeyPath
    slots: Mapping[str, Choices]
    template_choices: Choices
    templates: tuple[Template, ...]
    where: tuple[Condition, ...]

    @property
    def used_slots(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(slot for template in self.templates for slot in template.slots))

    @property
    def conditioned(self) -> frozenset[str]:
        """The slots that some condition reads (`template` among them where one reads its level)."""
        return frozenset(ref.slot for condition in self.where for ref in (condition.left, condition.right))

    def choices(self, slot: str) -> Choices:
        """The values of a slot, or under `template` the templates. Raises KeyError on another name."""
        return self.template_choices if slot == TEMPLATE else self.slots[slot]

    def __str__(self) -> str:
        return f"{'split' if self.path[0] == 'splits' else 'shift'} {self.name!r}"


def distributions(spec: TaskSpec, reasons: Reasons) -> tuple[Distribution, ...]:
    """Every split, then every shift. What cannot be parsed is left out and added to `reasons`."""
    written = [(("splits", name), getattr(spec.splits, name)) for name in SPLITS]
    written += [(("shifts", name), shift) for name, shift in spec.shifts.items()]
    return tuple(_distribution(spec, own, path, reasons) for path, own in written)


def _distribution(spec: TaskSpec, own: DistributionSpec, path: tuple[str, str], reasons: Reasons) -> Distribution:
    slots = {name: Choices.of(values, ("slots", name)) for name, values in spec.slots.items()}
    slots |= {name: Choices.of(values, (*path, "slots", name)) for name, values in own.slots.items()}
    templates = _template_choices(spec, own, path)
    return Distribution(
        name=path[1],
        path=path,
        slots=slots,
        template_choices=templates,
        templates=_parse_templates(templates, reasons),
        where=_parse_where(spec, own, path, reasons),
    )


def _template_choices(spec: TaskSpec, own: DistributionSpec, path: KeyPath) -> Choices:
    if own.templates is not None:
        return Choices.of(own.templates, (*path, "templates"))
    return Choices.of(spec.templates or [], ("templates",))


def _parse_templates(choices: Choices, reasons: Reasons) -> tuple[Template, ...]:
    parsed = []
    for value in choices.values:
        with reasons.collecting(value.path):
            parsed.append(Template.parse(value))
    return tuple(parsed)


def _parse_where(spec: TaskSpec, own: DistributionSpec, path: KeyPath, reasons: Reasons) -> tuple[Condition, ...]:
    texts, home = (spec.where, ()) if own.where is None else (own.where, path)
    parsed = []
    for i, text in enumerate(texts):
        here = (*home, "where", i)
        with reasons.collecting(here):
            parsed.append(Condition.parse(text, here))
    return tuple(parsed)
