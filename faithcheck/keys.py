"""Content-addressed keys of cases: equal keys mean equal results on one machine class."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

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
        "suite": {key: value for key, value in run.settings.items() if key not in ("about", "name", "tasks")},
        "task": next(bench.task.fingerprint for bench in run.benches if bench.task.name == task),
        "case": [task, what, *seeds],
    }
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
