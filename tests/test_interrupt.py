"""Ctrl-C: what was finished is kept, and nothing unfinished passes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from faithcheck.circuit import load_circuit

SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun]
method: "plugins.py:{method}"
seeds: 3
target_loss: 0.15
checks:
  - sufficiency: {{gates: {{node_fraction: "<= 1"}}}}
  - layernorm
  - "plugins.py:{check}"
"""
PLUGINS = """
import time
from pathlib import Path
import torch
from faithcheck import NodeScores
from faithcheck.checks.layernorm import LayerNorm


def hang():
    Path("hanging").touch()
    time.sleep(120)


class Quick:
    name = "quick"

    def extract(self, problem):
        return NodeScores({name: torch.ones(site.size) for name, site in problem.model.sites.items()})


class HangsLater(Quick):
    def extract(self, problem):
        if problem.seed == 2:
            hang()
        return super().extract(problem)


class Hangs(LayerNorm):
    name = "hangs"

    def measure(self, subject):
        hang()
"""


def interrupted(tmp_path, method, check):
    """The exit code and stderr of a run that gets SIGINT once the method or check hangs."""
    (tmp_path / "plugins.py").write_text(PLUGINS)
    (tmp_path / "mine.yaml").write_text(SUITE.format(method=method, check=check))
    command = [sys.executable, "-m", "faithcheck.cli", "run", str(tmp_path / "mine.yaml"), "--out", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not (tmp_path / "hanging").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, error


@pytest.fixture(scope="module")
def extracting(tmp_path_factory):
    """A run stopped in the extraction of its third seed."""
    folder = tmp_path_factory.mktemp("extracting")
    return folder / "out", *interrupted(folder, "HangsLater", "Hangs")


def test_an_interrupted_run_exits_130_in_one_line(extracting):
    _, code, error = extracting
    assert code == 130
    assert "Traceback" not in error
    assert error.strip().splitlines()[-1].startswith("faithcheck: interrupted; what was finished is kept in ")


def test_an_interrupted_run_leaves_its_result_and_its_finished_circuits(extracting):
    out, _, _ = extracting
    result = json.loads((out / "result.json").read_text())
    assert (result["interrupted"], result["verdict"], result["checks"]) == (True, "INCONCLUSIVE", [])
    assert [entry["seed"] for entry in result["circuits"]] == [0, 1]
    for entry in result["circuits"]:
        assert load_circuit(out / entry["file"]).identity == entry["identity"]
    assert not list(out.glob("*.partial"))


def test_a_run_interrupted_in_a_check_keeps_the_others_and_does_not_pass(tmp_path):
    code, _ = interrupted(tmp_path, "Quick", "Hangs")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert code == 130
    assert {check["check"]: check["verdict"] for check in result["checks"]} == {
        "sufficiency": "PASS",
        "layernorm": "PASS",
    }
    assert (result["interrupted"], result["verdict"]) == (True, "INCONCLUSIVE")
