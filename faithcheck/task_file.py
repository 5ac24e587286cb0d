"""Reading a task file, pass by pass; each pass reports all that it finds before the next begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from faithcheck.marked_yaml import Marked, load
from faithcheck.reasons import Reasons, refusal
from faithcheck.schema_errors import Source, explain
from faithcheck.task_checks import (
    check_answer,
    check_levels,
    check_names,
    check_ref,
    check_shifts,
    check_size,
    check_slots,
    check_surveys,
    check_templates,
    check_unit,
)
from faithcheck.task_distributions import Distribution, distributions
from faithcheck.task_parts import Ref
from faithcheck.task_prompts import Reading
from faithcheck.task_spec import TaskSpec, path_as_written
from faithcheck.task_survey import survey


@dataclass(frozen=True)
class TaskFile:
    """A task file that makes sense: as written, the levels of each variable, the splits and the shifts."""

    spec: TaskSpec
    levels: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, Distribution]
    reading: Reading


def read_task_file(path: str | Path) -> TaskFile:
    """Read and validate a task file; no prompt is written yet.

    Raises:
        UserError: the file cannot be read or parsed, breaks the schema, or does not make sense: every reason
            that one pass finds, each with its line.
    """
    return checked(load(path))


def checked(marked: Marked) -> TaskFile:
    """What was read, if it makes sense. Raises UserError as `read_task_file`."""
    spec = _schema(marked)
    parts = _parts(spec, marked)
    variables = _references(spec, parts, marked)
    levels = _levels(spec, variables, parts, marked)
    reading = Reading(variables, spec.answer.variable, spec.unit)
    _contents(parts, reading, levels[spec.answer.variable], marked)
    return TaskFile(spec, levels, {part.name: part for part in parts}, reading)


def _schema(marked: Marked) -> TaskSpec:
    def as_written(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
        return path_as_written(marked.data, loc)

    try:
        return TaskSpec.model_validate(marked.data)
    except ValidationError as error:
        source = Source(
            value=lambda loc: marked.mark(as_written(loc)),
            key=lambda loc: marked.key_mark(as_written(loc)),
            path=as_written,
        )
        raise refusal(explain(error, TaskSpec, source)) from None


def _parts(spec: TaskSpec, marked: Marked) -> tuple[Distribution, ...]:
    reasons = Reasons(marked)
    parts = distributions(spec, reasons)
    reasons.raise_any()
    check_templates(parts, reasons)
    reasons.raise_any()
    check_names(spec, parts, reasons)
    check_slots(parts, reasons)
    check_unit(spec, parts, reasons)
    reasons.raise_any()
    return parts


def _references(spec: TaskSpec, parts: Sequence[Distribution], marked: Marked) -> dict[str, Ref]:
    reasons = Reasons(marked)
    variables = {}
    for name, text in spec.variables.items():
        with reasons.collecting(("variables", name)):
            variables[name] = ref = Ref.parse(text, attribute_needed=True)
            for part in parts:
                check_ref(ref, ("variables", name), part, reasons)
    for part in parts:
        for condition in part.where:
            check_ref(condition.left, condition.path, part, reasons)
            check_ref(condition.right, condition.path, part, reasons)
    reasons.raise_any()
    return variables


def _levels(
    spec: TaskSpec, variables: Mapping[str, Ref], parts: Sequence[Distribution], marked: Marked
) -> dict[str, tuple[str, ...]]:
    reasons = Reasons(marked)
    levels = {name: _levels_of(ref, parts) for name, ref in variables.items()}
    check_answer(spec, levels, reasons)
    for name, ref in variables.items():
        for part in parts:
            check_levels(name, ref, levels[name], part, reasons)
    reasons.raise_any()
    return levels


def _levels_of(ref: Ref, parts: Sequence[Distribution]) -> tuple[str, ...]:
    """The levels of the default values in order; where there are none, of all splits and shifts together."""
    choices = [part.choices(ref.slot) for part in parts]
    defaults = [c for c in choices if c.is_default]
    return tuple(dict.fromkeys(level for c in defaults or choices for level in c.levels))


def _contents(parts: Sequence[Distribution], reading: Reading, levels: Sequence[str], marked: Marked) -> None:
    reasons = Reasons(marked)
    for part in parts:
        check_size(part, reasons)
    reasons.raise_any()
    surveys = {part.name: survey(part, reading) for part in parts}
    check_surveys(surveys, levels, parts, reasons)
    reasons.raise_any()
    check_shifts(surveys, parts, reasons)
    reasons.raise_any()
