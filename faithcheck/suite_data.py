"""A suite as it was resolved, as result.json has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from faithcheck.bench import Bench
from faithcheck.bundled import bundled_dir
from faithcheck.references import ResolvedCheck
from faithcheck.suite import LoadedSuite


def suite_data(
    loaded: LoadedSuite, benches: Sequence[Bench], checks: Sequence[ResolvedCheck], **changed: str
) -> dict[str, Any]:
    """Plain JSON data. changed: keys that took another value than in the suite."""
    return {
        **loaded.suite.model_dump(mode="json", exclude={"method"}),
        **changed,
        "file": _file(loaded),
        "tasks": [{"name": bench.task.name, "sha256": bench.task.fingerprint} for bench in benches],
        "checks": [
            {
                "name": c.check.name,
                "scope": c.check.scope,
                "parameters": dict(c.parameters),
                "gates": {metric: gate.text for metric, gate in c.gates.items()},
                "lines": _lines(loaded, entry.name, c.check.gates),
            }
            for entry, c in zip(loaded.suite.checks, checks, strict=True)
        ],
    }


def _file(loaded: LoadedSuite) -> str | None:
    """The suite's file as it was given; None for a bundled one."""
    bundled = loaded.path.is_absolute() and loaded.path.is_relative_to(bundled_dir())
    return None if bundled else loaded.path.as_posix()


def _lines(loaded: LoadedSuite, name: str, gates: Iterable[str]) -> dict[str, int]:
    """The line of the suite's file where a check (key ""), by its name there, and each of its gates stand; none for
    what `--set` gave."""
    places = {"": loaded.location("checks", name, key=True)}
    places |= {metric: loaded.location("checks", name, "gates", metric, key=True) for metric in gates}
    return {
        what: place.line for what, place in places.items() if place.file == str(loaded.path) and place.line is not None
    }
