"""Makes a Result out of events, saving circuits and evidence as they come, so that an interrupted run leaves them."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from faithcheck.events import CaseFinished, CheckJudged, CircuitFound, Event
from faithcheck.model import Model
from faithcheck.resolve import Resolved
from faithcheck.result import Result, prepare, record_check, record_circuit
from faithcheck.shown import task_data
from faithcheck.version import __version__


class Collector:
    """Handles the events of one run that writes to `out`."""

    def __init__(self, run: Resolved, out: Path, command: str = ""):
        prepare(out)
        method = None
        if run.method is not None:
            method = {"name": run.method.ref, "parameters": dict(run.method.parameters)}
        tasks = [task_data(bench) for bench in run.benches]
        self.result = Result(out, run.settings, method, _model_data(run.model), environment(run.device), tasks)
        self.result.command = command
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._cases: list[dict[str, Any]] = []
        self._start = time.perf_counter()

    def handle(self, event: Event) -> None:
        result = self.result
        match event:
            case CircuitFound():
                result.circuits.append(record_circuit(result.out, event))
            case CheckJudged():
                result.checks.append(record_check(result.out, event))
            case CaseFinished():
                self._cases.append({"case": event.case.title, "seconds": round(event.seconds, 3)})

    def finish(self, interrupted: bool = False) -> Result:
        """Write result.json and return the result."""
        self.result.interrupted = interrupted
        total = round(time.perf_counter() - self._start, 3)
        self.result.timing = {"started": self._started, "total_seconds": total, "cases": self._cases}
        self.result.write()
        return self.result


def _model_data(model: Model) -> dict[str, Any]:
    sites = [
        {"name": name, "kind": site.kind, "layer": site.layer, "size": site.size} for name, site in model.sites.items()
    ]
    return {"name": model.name, "fingerprint": model.fingerprint, "sites": sites, "norms": list(model.norms)}


def environment(device: str) -> dict[str, Any]:
    """What else a result may depend on: versions, threads, the class of machine."""
    return {
        "faithcheck": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "device": device if device == "cpu" else torch.cuda.get_device_name(),
    }
