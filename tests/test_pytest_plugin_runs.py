"""Real runs under pytest: one extraction for all tests of a task, and the verdicts of the command line."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from plugin_projects import outcomes, run_pytest

from faithcheck.cli import main

SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun]
method: "methods.py:Counts"
seeds: 1
target_loss: 0.15
checks:
  - sufficiency: {gates: {node_fraction: "<= 1"}}
  - nonsense_control
  - layernorm
"""
METHODS = """
class Counts:
    name = "counts"

    def extract(self, problem):
        import torch
        from faithcheck import NodeScores

        with open("extracted.txt", "a") as file:
            print(problem.prompts.texts[0].split()[0], file=file)
        return NodeScores({name: torch.ones(site.size) for name, site in problem.model.sites.items()})
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "methods.py").write_text(METHODS)
    (folder / "mine.yaml").write_text(SUITE)
    return folder


@pytest.fixture(scope="module")
def spread(place):
    """What pytest with two workers prints, and how often the method was called."""
    said = run_pytest(place, "-n", "2", "mine.yaml")
    return said, (place / "extracted.txt").read_text().splitlines()


def test_two_workers_extract_once_for_all_tests_of_a_task(spread):
    said, extracted = spread
    assert outcomes(said) == {"passed": 2, "failed": 1}
    assert "INCONCLUSIVE: " in said
    assert len(extracted) == len(["the task", "its nonsense control"])


def test_the_verdicts_are_those_of_the_command_line_that_a_failure_gives(spread, place, monkeypatch, capsys, tmp_path):
    [line] = re.findall("^reproduce: (.*)$", spread[0], re.M)
    monkeypatch.chdir(place)
    code = main([*shlex.split(line)[1:], "--out", str(tmp_path)])
    again, first = (
        json.loads((folder / "result.json").read_text())
        for folder in (tmp_path, place / "faithcheck-results/pytest/mine.yaml/pronoun")
    )
    assert code == 4
    assert again["checks"] == first["checks"]
    assert again["circuits"] == first["circuits"]
