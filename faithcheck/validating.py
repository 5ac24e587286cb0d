"""`faithcheck validate`: suites, tasks and claims, and what they name, checked without running anything. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from faithcheck.claims.claim import load_claim
from faithcheck.claims.files import Kind, is_folder, kind_of, yaml_files
from faithcheck.claims.references import circuit_file, suite_of
from faithcheck.errors import Location, UserError
from faithcheck.plugins import BrokenPlugin
from faithcheck.references import check_references
from faithcheck.suite import load_suite
from faithcheck.task import load_task_file
from faithcheck.text import complain, counted, visible


def validate(refs: Sequence[str]) -> int:
    """Check every file that `refs` name, and print what each is. Returns the exit code: 0, or that of the worst.

    Everything is checked, whatever is wrong with the others.
    """
    codes = {_checked(ref, kind) for ref, kind in _files(refs)}
    return next((code for code in (2, 3) if code in codes), 0)


def _files(refs: Sequence[str]) -> Iterator[tuple[str, Kind | None]]:
    for ref in refs:
        files = yaml_files(Path(ref)) if is_folder(ref) else []
        yield from ((str(file), kind_of(file)) for file in files)
        if not files:
            yield ref, kind_of(Path(ref)) if Path(ref).is_file() else None


def _checked(ref: str, kind: Kind | None) -> int:
    try:
        print(visible(_CHECKS.get(kind or "suite", _suite)(ref)))  # noqa: T201
    except (UserError, BrokenPlugin) as error:
        complain(error)
        return 2 if isinstance(error, UserError) else 3
    return 0


def _suite(ref: str) -> str:
    if is_folder(ref):
        raise UserError("no YAML file in this folder", Location(ref))
    loaded = load_suite(ref)
    check_references(loaded)
    suite = loaded.suite
    counts = {"task": len(suite.tasks), "check": len(suite.checks), "seed": len(suite.seed_numbers)}
    return f"{loaded.path}: valid; {', '.join(counted(count, what) for what, count in counts.items())}"


def _task(ref: str) -> str:
    task = load_task_file(ref)
    return f"{ref}: valid; task {task.name} with {counted(len(task.shifts), 'shift')}"


def _claim(ref: str) -> str:
    claim = load_claim(ref)
    suite_of(claim)
    circuit_file(claim)
    return f"{ref}: valid; claim of {counted(len(claim.claim.verdicts), 'verdict')}"


_CHECKS: Mapping[Kind, Callable[[str], str]] = {"suite": _suite, "task": _task, "claim": _claim}
