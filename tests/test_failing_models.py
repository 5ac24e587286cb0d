"""A model that does not run: each case that needs the run is an ERROR with a sentence, and the other task is judged."""

import json
from pathlib import Path

import pytest
import torch

from faithcheck.circuit import Circuit, save_circuit
from faithcheck.cli import main
from faithcheck.loading import load_model

MODEL = """\
import os
import sys
import time

from faithcheck.loading import load_model


def hangs():
    while True:
        time.sleep(0.01)


def raises(error):
    raise error


WAYS = {
    "raises": lambda: raises(ValueError("no luck")),
    "interrupts": lambda: raises(KeyboardInterrupt()),
    "exits": lambda: sys.exit(0),
    "dies": lambda: os._exit(0),
    "hangs": hangs,
    "returns_nothing": lambda: None,
}


class Failing:
    restrict_names = ("restrict", "shuffled", "count_edges")

    def __init__(self, way, when):
        self.model, self.way, self.when = load_model("stories-tiny"), WAYS[way], when

    def __getattr__(self, name):
        if name in self.restrict_names:
            raise AttributeError(name)
        return getattr(self.model, name)

    def run(self, tokens, **levers):
        on_pronoun = self.model.tokenizer.decode(tokens[0].tolist()).startswith("when")
        return self.way() if on_pronoun and self.when(levers) else self.model.run(tokens, **levers)


def factory(way, when):
    return lambda device: Failing(way, when)


for way in WAYS:
    globals()[f"always_{way}"] = factory(way, lambda levers: True)
    globals()[f"masked_{way}"] = factory(way, lambda levers: bool(levers.get("masks")))
    globals()[f"captured_{way}"] = factory(way, lambda levers: bool(levers.get("capture")))
    globals()[f"loading_{way}"] = (lambda way: lambda device: WAYS[way]())(way)
"""
SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun, questions]
method: full
seeds: 1
target_loss: 0.15
time_limit: 2
checks: [layernorm]
"""
SAID = {
    "raises": "ValueError: no luck",
    "interrupts": "raised KeyboardInterrupt",
    "exits": "called sys.exit(0)",
    "dies": "called os._exit(0)",
    "hangs": "took longer than its 2 seconds",
    "returns_nothing": "'NoneType' object has no attribute 'logits'",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(MODEL)
    Path("suite.yaml").write_text(SUITE)


def outcome(model, *args):
    """The exit code, and {task: {check: (verdict, reason)}}."""
    code = main(["run", "suite.yaml", "--model", f"model.py:{model}", "--out", "out", *args])
    result = json.loads(Path("out/result.json").read_text())
    assert not result["interrupted"]
    found = {"pronoun": {}, "questions": {}}
    for check in result["checks"]:
        found[check["task"]][check["check"]] = (check["verdict"], check["reason"])
    return code, found


def judged(checks):
    return {name: verdict for name, (verdict, _) in checks.items()}


OTHER = {"sufficiency": "FAIL", "layernorm": "PASS"}
"""The whole model, on the task on which the model runs."""


@pytest.mark.parametrize("way", SAID)
def test_a_model_that_fails_on_a_task_is_an_error_of_that_tasks_checks_and_the_other_is_judged(way):
    code, found = outcome(f"always_{way}")
    assert code == 3
    assert judged(found["pronoun"]) == {"sufficiency": "ERROR", "layernorm": "ERROR"}
    for _, reason in found["pronoun"].values():
        assert reason.startswith("the model failed on this task: ")
        assert SAID[way] in reason
    assert judged(found["questions"]) == OTHER


@pytest.mark.parametrize("way", ["raises", "exits", "hangs"])
def test_a_model_that_fails_where_it_is_masked_is_an_error_of_the_extraction(way):
    code, found = outcome(f"masked_{way}")
    assert code == 3
    assert judged(found["pronoun"]) == {"sufficiency": "ERROR", "layernorm": "ERROR"}
    assert all(SAID[way] in reason for _, reason in found["pronoun"].values())
    assert judged(found["questions"]) == OTHER


def test_a_model_that_fails_where_a_check_asks_for_activations_is_an_error_of_that_check():
    code, found = outcome("captured_raises")
    assert code == 3
    assert judged(found["pronoun"]) == {"sufficiency": "FAIL", "layernorm": "ERROR"}
    assert judged(found["questions"]) == OTHER


@pytest.mark.parametrize("way", ["raises", "dies"])
def test_a_given_circuit_on_which_the_model_fails_is_an_error_of_its_checks(way):
    model = load_model("stories-tiny")
    keep = {name: torch.ones(site.size, dtype=torch.bool) for name, site in model.sites.items()}
    save_circuit(Path("c.safetensors"), Circuit(keep, provenance={"task": "pronoun"}))
    code, found = outcome(f"masked_{way}", "--circuit", "c.safetensors")
    assert code == 3
    assert judged(found["pronoun"]) == {"sufficiency": "ERROR", "layernorm": "ERROR"}
    for _, reason in found["pronoun"].values():
        assert reason.startswith("the model failed on the circuit: ")
        assert SAID[way] in reason


@pytest.mark.parametrize("way", ["raises", "interrupts", "exits", "dies"])
def test_a_model_that_cannot_be_loaded_is_one_line_and_no_exit_code_of_its_own(way, capsys):
    assert main(["run", "suite.yaml", "--model", f"model.py:loading_{way}", "--out", "out"]) == 3
    error = capsys.readouterr().err
    assert SAID[way] in error
    assert len(error.splitlines()) == 1
    assert not Path("out").exists()
