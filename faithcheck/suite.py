"""A suite: what `faithcheck run` is asked to do, validated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from faithcheck.ablation import AblationKind
from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.errors import Location, UserError, did_you_mean
from faithcheck.marked_yaml import KeyPath, Marked, load
from faithcheck.overrides import ALWAYS_RUNS, Override, check_index, check_name, lay_over
from faithcheck.reasons import refusal
from faithcheck.schema_errors import Source, explain, show
from faithcheck.schema_types import Frozen, Text, Version1

_LARGEST_SEED = 2**63 - 1
"""Of the integers of 64 bits, which generators of random numbers take."""


class CheckEntry(Frozen):
    """One check of a suite. In YAML: `NAME`, or `{NAME: {gates: {METRIC: GATE}, PARAMETER: VALUE}}`."""

    name: Text
    gates: dict[str, str] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, item: Any) -> Any:
        if isinstance(item, str):
            return {"name": item}
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            return item
        if not isinstance(item, dict) or len(item) != 1:
            found = f"the keys {', '.join(item)}" if isinstance(item, dict) and item else show(item)
            raise ValueError(f"found {found}; allowed: NAME or {{NAME: {{gates: ...}}}}")
        [(name, body)] = item.items()
        if not isinstance(body, dict | None):
            raise ValueError(f"found {show(body)}; allowed: keys and values, such as gates: {{METRIC: GATE}}")
        rest = dict(body or {})
        return {"name": name, "gates": rest.pop("gates", {}), "parameters": rest}


class MethodEntry(Frozen):
    """The extraction method of a suite. In YAML: `NAME`, or `{name: NAME, PARAMETER: VALUE}`."""

    name: Text
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, item: Any) -> Any:
        if isinstance(item, str):
            return {"name": item}
        if not isinstance(item, dict):
            raise ValueError(f"found {show(item)}; allowed: NAME or {{name: NAME, PARAMETER: VALUE}}")
        if isinstance(item.get("parameters"), dict):
            return item
        rest = dict(item)
        return {**({"name": rest.pop("name")} if "name" in rest else {}), "parameters": rest}


class Suite(Frozen):
    """A validated suite. `sufficiency` is always among the checks; first, where it was not listed."""

    faithcheck: Version1
    """The version of this format."""
    name: Annotated[str, Field(pattern=r"^[^/\\\\]+$", max_length=100)] = "suite"
    """What results are called; the file's name where it is left out."""
    about: str = ""
    """A line for people."""
    model: Text
    """The model under test: a name, path/to/file.py:NAME, or LOADER:PATH such as lens:gpt2."""
    tasks: list[Text] = Field(min_length=1)
    """Names of tasks, or paths of task files, which are looked for beside the suite first."""
    method: MethodEntry | None = None
    """The extraction method. Optional: --method gives one, and --circuit tests a circuit that exists."""
    seeds: Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=0, le=_LARGEST_SEED)]]
    """How many, from 0 on; or which ones."""
    target_loss: Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
    """In nats: a circuit is the smallest that reaches this on the validation prompts."""
    ablation: AblationKind = "zero"
    """What a node that is not in the circuit becomes: zero, its mean over the model's own text (mean) or over the
    task's prompts (task_mean), or its value on a prompt with the other answer (resample)."""
    norms: Literal["live", "frozen"] = "live"
    """Live, or frozen to the scales that the whole model has on the same prompt."""
    loss: Literal["full", "binary"] | None = None
    """Cross-entropy over all tokens (full), or over target and distractor (binary); the task's own if left out."""
    time_limit: Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)] = 3600.0
    """Seconds that one extraction, or one check of one circuit, may take."""
    memory: Annotated[float, Field(gt=0, le=2**20, strict=True, allow_inf_nan=False)] = 2.0
    """GiB by which a method splits its batches; on a CPU each of its worker processes has as much."""
    checks: list[CheckEntry] = Field(min_length=1)
    """The checks, in the order of the report; sufficiency always runs."""

    @field_validator("tasks")
    @classmethod
    def _distinct_tasks(cls, tasks: list[str]) -> list[str]:
        _refuse_repeats(tasks)
        return tasks

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_or_list(cls, seeds: Any) -> Any:
        listed = isinstance(seeds, list) and len(seeds) > 0
        numbers, least = (seeds, 0) if listed else ([seeds], 1)
        if any(type(number) is not int or not least <= number <= _LARGEST_SEED for number in numbers):
            allowed = "a whole number of 1 or more, or a list of seeds such as [6, 7, 8], each below 2^63"
            raise ValueError(f"found {seeds if listed else show(seeds)}; allowed: {allowed}")
        _refuse_repeats(numbers)
        return seeds

    @property
    def seed_numbers(self) -> Sequence[int]:
        return range(self.seeds) if isinstance(self.seeds, int) else self.seeds

    @field_validator("checks")
    @classmethod
    def _distinct_checks(cls, checks: list[CheckEntry]) -> list[CheckEntry]:
        names = [check.name for check in checks]
        _refuse_repeats(names)
        return checks if ALWAYS_RUNS in names else [CheckEntry(name=ALWAYS_RUNS), *checks]


@dataclass(frozen=True)
class LoadedSuite:
    """A suite with the file it came from and the overrides laid over it."""

    suite: Suite
    path: Path
    marked: Marked
    overrides: tuple[Override, ...] = ()

    def location(self, *path: str | int, key: bool = False) -> Location:
        """Where the value (or the key) at a path such as `"checks", "layernorm", "gates"` was written."""
        return _locate(self.marked, self.overrides, path, key)


def load_suite(ref: str, overrides: Sequence[str] = ()) -> LoadedSuite:
    """Load a suite by path or bundled name, with `--set KEY=VALUE` overrides laid over it.

    Raises:
        UserError: no such suite, a file that cannot be read or parsed, a suite that breaks the schema, or
            an override that leads nowhere. Everything that the schema refuses is reported at once.
    """
    path = find_suite(ref)
    marked = load(path)
    data, laid_over = lay_over({"name": path.stem, **marked.data}, overrides, tuple(Suite.model_fields))
    try:
        return LoadedSuite(Suite.model_validate(data), path, marked, laid_over)
    except ValidationError as error:
        raise refusal(explain(error, Suite, _source(data, marked, laid_over))) from None


def find_suite(ref: str) -> Path:
    """The file of a suite given as a path or a bundled name. Raises UserError where there is none."""
    if ref.endswith((".yaml", ".yml")) or Path(ref).is_file():
        return Path(ref)
    names = yaml_names(bundled_dir())
    if ref in names:
        return bundled_dir() / f"{ref}.yaml"
    raise UserError(f"unknown suite {ref!r}; bundled: {', '.join(names) or 'none'}{did_you_mean(ref, names)}")


def _source(data: dict[str, Any], marked: Marked, overrides: tuple[Override, ...]) -> Source:
    def path_in(loc: KeyPath) -> KeyPath:
        return _as_written(data, loc)

    return Source(
        value=lambda loc: _locate(marked, overrides, path_in(loc), key=False),
        key=lambda loc: _locate(marked, overrides, path_in(loc), key=True),
        path=path_in,
    )


def _as_written(data: dict[str, Any], loc: KeyPath) -> KeyPath:
    """The path that a user knows: a check by its name, a parameter beside `gates` or `name`."""
    match loc:
        case ("method", "parameters", *rest):
            return ("method", *rest)
        case ("checks", int(index), *rest) if name := check_name(data["checks"][index]):
            return ("checks", name, *(rest[1:] if rest[:1] == ["parameters"] else rest))
    return loc


def _locate(marked: Marked, overrides: Sequence[Override], path: KeyPath, key: bool) -> Location:
    for override in reversed(overrides):
        if path[: len(override.path)] == override.path:
            return override.location
    match path:
        case ("checks", str(name), *rest):
            path = _in_check(marked.data, name, rest)
    return marked.key_mark(path) if key else marked.mark(path)


def _in_check(data: dict[str, Any], name: str, inside: Sequence[str | int]) -> KeyPath:
    """The path of a check, or of what is `inside` it, as its item was written."""
    index = check_index(data, name)
    if index is None:
        return ("checks",)
    item = data["checks"][index]
    if not inside or not isinstance(item, dict):
        return ("checks", index)
    if not isinstance(item.get("name"), str):
        return ("checks", index, name, *inside)
    return ("checks", index, *([] if inside[0] in item else ["parameters"]), *inside)


def _refuse_repeats(names: Sequence[str] | Sequence[int]) -> None:
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise ValueError(f"{repeated!r} is listed twice")
