"""Result folders made by hand, with chosen verdicts: what reports, diffs and claims are tested on without a run."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from safetensors.numpy import save

from faithcheck.report.reading import load_result
from faithcheck.verdict import Verdict, worst

VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE", "ERROR")


def metric(name="loss", verdict=None, gate="<= 0.2", estimate=0.125, seed=0, **more):
    """A metric's entry; one without a verdict has no gate."""
    judged = {} if verdict is None else {"gate": gate, "verdict": verdict}
    numbers = {"estimate": None, "reached": False}
    if estimate is not None:
        numbers = {"estimate": estimate, "low": estimate - 0.05, "high": estimate + 0.05, "n": 512}
    return {"name": name, "seed": seed, **numbers, **judged, **more}


def check(verdict="PASS", check="sufficiency", task="pronoun", reason="a reason", **more):
    """A check's entry; by default with one gated metric where that verdict has one."""
    gated = [metric(verdict=verdict)] if verdict in ("PASS", "FAIL", "INCONCLUSIVE") else []
    return {"check": check, "task": task, "verdict": verdict, "reason": reason, "metrics": gated, "key": "k", **more}


def circuit(task="pronoun", seed=0, **more):
    entry = {"task": task, "seed": seed, "size": 23, "edges": 31, "loss": 0.12, "reached": True, "key": "k"}
    return {**entry, "file": f"circuits/{task}-seed{seed}.safetensors", "identity": f"{seed:064x}", **more}


def result(checks=(), circuits=(), interrupted=False, suite=None, **more):
    """The data of a result.json; its verdict is the worst of its checks, as of a run. `suite`: keys to change there."""
    checks, circuits = list(checks), list(circuits)
    verdicts = [Verdict(entry["verdict"]) for entry in checks] + [Verdict.INCONCLUSIVE] * interrupted
    tasks = list(dict.fromkeys(entry["task"] for entry in checks)) or ["pronoun"]
    asked = [{"name": name, "gates": {"loss": "<= 0.2"}} for name in dict.fromkeys(c["check"] for c in checks)]
    seconds = [{"case": f"{entry['task']}: {entry['check']}", "seconds": 0.5} for entry in checks]
    made = {
        "schema": "faithcheck.result/1",
        "verdict": worst(verdicts).value,
        "interrupted": interrupted,
        "command": "faithcheck run mine.yaml --method sparse_prune",
        "suite": {"name": "mine", "seeds": 1, "target_loss": 0.15, "file": None, "checks": asked} | (suite or {}),
        "method": {"name": "sparse_prune", "parameters": {"steps": 300}},
        "model": {"name": "stories-tiny", "fingerprint": "ab" * 32, "sites": [], "norms": []},
        "tasks": [{"name": name, "prompts": []} for name in tasks],
        "circuits": circuits,
        "checks": checks,
        "environment": {"faithcheck": "0.1.0", "device": "cpu", "threads": 1},
        "timing": {"started": "2026-01-02T03:04:05+00:00", "total_seconds": 12.5, "cases": seconds},
    }
    return made | more


def write(folder, data):
    """Write the data of a result to a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(data))
    return folder


def evidence(folder, name, tensors=None, labels=None):
    """Write an evidence file and return the entry that names it, for `check(..., evidence=entry)`."""
    file = f"evidence/{name}.safetensors"
    (folder / "evidence").mkdir(parents=True, exist_ok=True)
    about = {"labels": json.dumps(labels)} if labels else None
    content = save({key: np.ascontiguousarray(value) for key, value in (tensors or {}).items()}, about)
    (folder / file).write_bytes(content)
    return {"file": file, "sha256": hashlib.sha256(content).hexdigest()}


def loaded(folder, *args, **options):
    """A result of `result(...)`, written and read again."""
    return load_result(write(folder, result(*args, **options)))
