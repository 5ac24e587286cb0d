"""Results made by hand, to be compared."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from faithcheck.diff.comparison import compare_runs
from faithcheck.diff.run import Run
from faithcheck.report.reading import LoadedResult
from faithcheck.result_schema import ResultData
from faithcheck.verdict import Verdict, worst

WORST_FIRST = ("ERROR", "FAIL", "INCONCLUSIVE", "PASS", "NOT_APPLICABLE")


def metric(name="loss", seed=0, value=0.1, spread=0.02, gate="<= 0.2", on=None, n=512):
    """An entry with the interval value +- spread and the verdict that a gate `<=` or `>=` comes to, if there is one.
    `value` None: never reached."""
    entry = {"name": name, "seed": seed, "estimate": value}
    if value is None:
        entry["reached"] = False
    else:
        entry |= {"low": value - spread, "high": value + spread, "n": n}
    if on is not None:
        entry["on"] = on
    if gate is not None:
        entry |= {"gate": gate, "verdict": "INCONCLUSIVE" if value is None else judged(value, spread, gate)}
    return entry


def judged(value, spread, gate):
    op, bound = gate.split()
    low, high = (value - spread, value + spread) if op == "<=" else (-value - spread, -value + spread)
    bound = float(bound) if op == "<=" else -float(bound)
    return "PASS" if high <= bound else "FAIL" if low > bound else "INCONCLUSIVE"


def over_seeds(values, name="loss", gate="<= 0.2", spread=0.02, first=0, **more):
    """One entry a seed, from `first` on."""
    return [metric(name, seed, value, spread, gate, **more) for seed, value in enumerate(values, first)]


def check(metrics=(), verdict=None, name="sufficiency", task="pronoun", **more):
    """With the worst verdict of its metrics, unless it is said."""
    seen = {entry["verdict"] for entry in metrics if "verdict" in entry}
    found = verdict or next((v for v in WORST_FIRST if v in seen), "NOT_APPLICABLE")
    return {"check": name, "task": task, "verdict": found, "reason": "a reason", "metrics": list(metrics), **more}


def result(*checks, seeds=None, prompts="a", interrupted=False, **more):
    """The data of result.json. `seeds`: of the circuits of every task; left out, those of the metrics. `prompts`: what
    the tasks' prompts are."""
    tasks = list(dict.fromkeys(one["task"] for one in checks))
    found = {m["seed"] for one in checks for m in one["metrics"]} if seeds is None else set(seeds)
    verdicts = [one["verdict"] for one in checks] + ["INCONCLUSIVE"] * interrupted
    circuits = [circuit(task, seed) for task in tasks for seed in sorted(found, key=lambda s: (s is None, s or 0))]
    return {
        "schema": "faithcheck.result/1",
        "verdict": str(worst(Verdict(verdict) for verdict in verdicts)),
        "interrupted": interrupted,
        "suite": {"name": "mine", "target_loss": 0.15, "tasks": [{"name": t, "sha256": prompts} for t in tasks]},
        "method": {"name": "sparse_prune", "parameters": {"steps": 300}},
        "model": {"name": "stories-sparse", "fingerprint": "f"},
        "circuits": circuits,
        "checks": list(checks),
        "environment": {"faithcheck": "0.1.0"},
        "timing": {"total_seconds": 1.0},
    } | more


def circuit(task, seed, size=23):
    return {
        "task": task,
        "seed": seed,
        "size": size,
        "edges": 31,
        "loss": 0.12,
        "reached": True,
        "file": f"circuits/{task}-{seed}.safetensors",
        "identity": f"{task}{seed}{size}",
    }


def run(data, folder=Path()):
    return Run(LoadedResult(ResultData.model_validate(data), folder))


def compared(base, head):
    return compare_runs(run(base), run(head))


def moves(found):
    """{metric: move} of those with a gate."""
    return {moved.name.metric: moved.move.value for moved in found.gated}


def write(folder, data, evidence=None):
    """As a run's folder. `evidence`: {check name: {tensor name: array}}, named in the data."""
    from safetensors.numpy import save

    (folder / "evidence").mkdir(parents=True)
    for one in data["checks"]:
        tensors = (evidence or {}).get(one["check"])
        if tensors is not None:
            content = save({name: np.asarray(rows, dtype=np.float32) for name, rows in tensors.items()})
            file = f"evidence/{one['task']}-{one['check']}.safetensors"
            (folder / file).write_bytes(content)
            one["evidence"] = {"file": file, "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "result.json").write_text(json.dumps(data))
    return folder
