"""A task: prompts with two possible answers, the variables they vary, splits and shifts. No tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.errors import Location, UserError, did_you_mean
from faithcheck.task_file import TaskFile, read_task_file
from faithcheck.task_prompts import Prompt, enumerate_prompts
from faithcheck.task_spec import SPLITS, TaskSpec

__all__ = ["Prompt", "Task", "TaskSpec", "find_task", "load_task", "load_task_file"]


@dataclass(frozen=True)
class Task:
    """A task; its prompts are written when they are asked for.

    `variables` maps each variable to its levels, in order; `tokens` and `nonsense` map each level of the
    variable `answer` to a token's text; `unit` is the slot whose values are the independent units.
    `fingerprint` is the SHA-256 of the validated file's content, so layout and comments do not count.
    """

    name: str
    about: str
    loss: Literal["full", "binary"]
    variables: Mapping[str, tuple[str, ...]]
    answer: str
    tokens: Mapping[str, str]
    nonsense: Mapping[str, str]
    unit: str
    shifts: tuple[str, ...]
    fingerprint: str
    path: Path
    file: TaskFile = field(repr=False, compare=False)
    splits: tuple[str, ...] = SPLITS
    _written: dict[str, tuple[Prompt, ...]] = field(default_factory=dict, repr=False, compare=False)

    def prompts(self, split_or_shift: str) -> tuple[Prompt, ...]:
        """All distinct prompts of a split or shift, in a fixed order.

        Raises:
            UserError: an unknown name, or one text that can be made with different levels of a variable.
        """
        if split_or_shift not in self._written:
            self._written[split_or_shift] = self._write(split_or_shift)
        return self._written[split_or_shift]

    def _write(self, name: str) -> tuple[Prompt, ...]:
        part = self.file.parts.get(name)
        if part is None:
            known, near = ", ".join(self.file.parts), did_you_mean(name, self.file.parts)
            raise UserError(f"task {self.name!r} has no {name!r}; splits and shifts: {known}{near}")
        try:
            return enumerate_prompts(part, self.file.reading)
        except ValueError as error:
            raise UserError(f"{part}: {error}", Location(str(self.path))) from None


def load_task(ref: str, near: Path | None = None) -> Task:
    """A task by path or name. Raises UserError as `find_task` and `load_task_file` do."""
    return load_task_file(find_task(ref, near))


def find_task(ref: str, near: Path | None = None) -> Path:
    """The file of a task: a path, or a name looked up beside the suite `near`, then among the bundled tasks.

    `near` is a suite's file or folder; a relative path is looked for there before the working directory.

    Raises:
        UserError: no task has this name.
    """
    beside = [near if near.is_dir() else near.parent] if near else []
    if ref.endswith((".yaml", ".yml")):
        return next((folder / ref for folder in beside if (folder / ref).is_file()), Path(ref))
    folders = [*(folder / "tasks" for folder in beside), *beside, bundled_dir() / "tasks"]
    found = next((folder / f"{ref}.yaml" for folder in folders if ref in yaml_names(folder)), None)
    if found is None:
        known = sorted({name for folder in folders for name in yaml_names(folder) if folder not in beside})
        near_word = did_you_mean(ref, known)
        raise UserError(f"unknown task {ref!r}; tasks: {', '.join(known) or 'none'}{near_word}")
    return found


def load_task_file(path: str | Path) -> Task:
    """Read and validate a task file.

    Raises:
        UserError: the file cannot be read or parsed, breaks the schema, or does not make sense.
    """
    return task_of(read_task_file(path), Path(path))


def task_of(file: TaskFile, path: Path) -> Task:
    """The task of a file that makes sense; `path` is where errors say it is."""
    spec = file.spec
    return Task(
        name=spec.task,
        about=spec.about,
        loss=spec.loss,
        variables=file.levels,
        answer=spec.answer.variable,
        tokens={level: spec.answer.tokens[level] for level in file.levels[spec.answer.variable]},
        nonsense={level: spec.nonsense[level] for level in file.levels[spec.answer.variable]},
        unit=spec.unit,
        shifts=tuple(spec.shifts),
        fingerprint=hashlib.sha256(spec.model_dump_json().encode()).hexdigest(),
        path=path,
        file=file,
    )
