"""Circuits that were found under other ablations than zero are imported and judged under these."""

import json
from math import exp, log1p
from pathlib import Path

import pytest
from fake_models import write_task
from importing import write_json

from faithcheck.circuit import load_circuit
from faithcheck.cli import main
from faithcheck.task import load_task

MODEL = """\
from fake_models import FEMALE, MALE, ONE, SIGN, Readout, answers_only, pronoun, table


def scripted(device):
    late = table(dict.fromkeys([*FEMALE, *MALE], 5.0), 1.0)
    start = answers_only(she=-0.5, he=0.5)
    texts = ("f0 t0 t0 t0", "t1 t1")
    return Readout([(SIGN, ONE), (ONE, late)], [pronoun(4.0), pronoun(1.0)], start, sample_text=texts)


def silent(device):
    model = scripted(device)
    model.sample_text = ()
    return model
"""
"""Neuron 0 tells the answers apart by 4 nats. Neuron 1 is 5 on names and 1 on actions, where it makes up for the -1 nat
that the logits start from; where it is ablated, the answers are shifted by what it takes instead, minus 1."""
SUITE = """\
faithcheck: 1
model: model.py:scripted
tasks: [toy.yaml]
seeds: 1
target_loss: 0.5
checks: [sufficiency]
"""
MEANS = {"mean": [4 / 6, 10 / 6], "task_mean": [0.0, 3.0]}
"""Over the six tokens of the model's text; over "name action", half of the tokens of either, half of the names each."""
SHIFT = {"zero": -1.0, "mean": 10 / 6 - 1, "task_mean": 2.0, "resample": 0.0}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with a model, its task, a suite, and a list of one of the model's two nodes."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path)
    Path("model.py").write_text(MODEL)
    Path("suite.yaml").write_text(SUITE)
    write_json(Path("c.json"), [["0.mlp_neuron", 0]])


def run(*args, model="scripted"):
    return main(["import", "c.json", "--model", f"model.py:{model}", *args])


def imported(*args):
    assert run("--task", "toy.yaml", *args) == 0
    return load_circuit(Path("c.circuit.safetensors"))


@pytest.mark.parametrize("kind", MEANS)
def test_the_file_carries_the_means_and_says_what_they_are_over(kind, capsys):
    circuit = imported("--ablation", kind)
    assert circuit.ablation.kind == kind
    assert circuit.ablation.means["0.mlp_neuron"].tolist() == pytest.approx(MEANS[kind], abs=1e-12)
    over = {"mean": "the first 2 texts of the model's own", "task_mean": "56 train prompts of toy"}[kind]
    assert circuit.provenance["means_over"] == over
    assert circuit.provenance["task_sha256"] == load_task("toy.yaml").fingerprint
    assert capsys.readouterr().out.startswith(f"1 node at 1 site, {kind} ablation: wrote c.circuit.safetensors;")


@pytest.mark.parametrize("kind", ["zero", "resample"])
def test_an_ablation_without_means_carries_none(kind):
    circuit = imported("--ablation", kind)
    assert (circuit.ablation.kind, circuit.ablation.means) == (kind, None)
    assert "means_over" not in circuit.provenance


def test_the_ablation_is_zero_where_none_is_named():
    assert imported().identity == imported("--ablation", "zero").identity


@pytest.mark.parametrize("kind", SHIFT)
def test_the_circuit_is_judged_under_the_ablation_that_it_was_imported_with(kind):
    """The suite says zero. Half of the prompts have the answer `she`, which the shift helps; the others it hurts."""
    imported("--ablation", kind)
    main(["run", "suite.yaml", "--circuit", "c.circuit.safetensors", "--out", "out"])
    result = json.loads(Path("out/result.json").read_text())
    loss = sum(log1p(exp(-4.0 + side * SHIFT[kind])) for side in (1, -1)) / 2
    assert result["circuits"][0]["loss"] == pytest.approx(loss, abs=1e-12)
    assert result["suite"]["ablation"] == kind


def test_means_are_of_the_model_that_is_named_and_none_are_made_up(capsys):
    assert run("--ablation", "mean", model="silent") == 2
    assert "scripted carries no text of its own to take means over; use task_mean" in capsys.readouterr().err
    assert not Path("c.circuit.safetensors").exists()


def test_a_task_mean_without_a_task_is_refused_with_what_to_do(capsys):
    assert run("--ablation", "task_mean") == 2
    expected = "faithcheck: task_mean ablation is over a task's train prompts: name the task with --task\n"
    assert capsys.readouterr().err == expected
    assert not Path("c.circuit.safetensors").exists()


def test_an_unknown_ablation_is_refused_with_those_that_there_are(capsys):
    with pytest.raises(SystemExit) as stop:
        run("--ablation", "median")
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert all(kind in error for kind in ("median", *SHIFT))
