"""A folder with a claim that holds: all nodes of the smallest bundled model, no small circuit but a true one."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import torch

from faithcheck import load_model, load_task
from faithcheck.circuit import Circuit, save_circuit
from faithcheck.cli import main

MODEL = "stories-tiny"
SUITE = """\
faithcheck: 1
model: stories-sparse
tasks: [ioi, pronoun]
seeds: 1
target_loss: 0.5
checks:
  - sufficiency
  - layernorm
  - generalization
  - "checks.py:Raises"
  - "checks.py:Interrupts"
"""
CHECKS = '''
import os
import signal

from faithcheck.check import Measurement


class Raises:
    """Raises."""

    name, scope, question, gates = "checks.py:Raises", "circuit", "?", {}

    def measure(self, subject):
        raise ValueError("a slip")

    def sentence(self, metric, verdict):
        return ""


class Interrupts(Raises):
    """Is interrupted."""

    name = "checks.py:Interrupts"

    def measure(self, subject):
        os.kill(os.getpid(), signal.SIGINT)
        return Measurement()
'''
HOLDING = {"sufficiency": "FAIL", "layernorm": "PASS"}
"""What all nodes together get: they are not few, and they are the model."""


@functools.cache
def tiny():
    return load_model(MODEL)


def all_nodes(**provenance) -> Circuit:
    keep = {name: torch.ones(site.size, dtype=torch.bool) for name, site in tiny().sites.items()}
    return Circuit(keep, provenance={"task": "pronoun", **provenance})


def content(**changes):
    """The keys of a claim that holds, with changes; None takes a key out."""
    keys = {
        "faithcheck": 1,
        "claim": "All nodes do the task",
        "circuit": "all.safetensors",
        "identity": all_nodes().identity,
        "model": MODEL,
        "fingerprint": tiny().fingerprint,
        "task": "pronoun",
        "task_sha256": load_task("pronoun").fingerprint,
        "suite": "suites/own.yaml",
        "verdicts": HOLDING,
        **changes,
    }
    return {key: value for key, value in keys.items() if value is not None}


def folder_of(path: Path, **claims) -> Path:
    """A folder `claims` with a circuit, a suite and the claims given by name, each a mapping or text. JSON is YAML."""
    folder = path / "claims"
    (folder / "suites").mkdir(parents=True)
    (folder / "suites" / "own.yaml").write_text(SUITE)
    (folder / "suites" / "checks.py").write_text(CHECKS)
    save_circuit(folder / "all.safetensors", all_nodes())
    for name, what in claims.items():
        text = what if isinstance(what, str) else json.dumps(what, indent=1)
        (folder / f"{name}.yaml").write_text(text)
    return folder


def run(target, out, *args):
    """The exit code of `faithcheck run`."""
    return main(["run", str(target), "--device", "cpu", "--out", str(out), *map(str, args)])
