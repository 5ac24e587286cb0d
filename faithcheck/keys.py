"""Content-addressed keys of cases: equal keys mean equal results on one machine class."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from faithcheck.version import __version__

if TYPE_CHECKING:
    from faithcheck.resolve import Resolved


def case_key(run: Resolved, task: str, what: str, *seeds: int) -> str:
    """SHA-256 over the case, the method and its parameters, the model, the task's data, the seeds and the version."""
    data = {
        "version": __version__,
        "model": run.model.fingerprint,
        "method": None if run.method is None else [run.method.ref, dict(run.method.parameters)],
        "circuit": None if run.circuit is None else run.circuit.identity,
        "suite": _asked(run.settings),
        "task": next(bench.task.fingerprint for bench in run.benches if bench.task.name == task),
        "case": [task, what, *seeds],
    }
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _asked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of a suite a result depends on: not its name, nor where what stands."""
    asked = {key: value for key, value in settings.items() if key not in ("about", "name", "file", "tasks")}
    checks = [{key: value for key, value in check.items() if key != "lines"} for check in asked.get("checks", ())]
    return {**asked, "checks": checks}
