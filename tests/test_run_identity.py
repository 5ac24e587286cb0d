"""The same suite and seeds give the same result, whatever else runs beside them."""

from __future__ import annotations

import json

import pytest

from faithcheck.cli import main

SUITE = """\
faithcheck: 1
name: mine
model: stories-tiny
tasks: [{tasks}]
method: {{name: sparse_prune, steps: 40, lr: 0.05, sweep: [1.0], batch: 16}}
seeds: 1
target_loss: 0.5
checks: [nonsense_control, attention_agreement, node_roles]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs tasks; the folder of the result. The same label gives the same folder again, without a run."""
    folder, done = tmp_path_factory.mktemp("runs"), {}

    def of(tasks, label, *args):
        key = (tasks, label, args)
        if key not in done:
            suite = folder / f"{len(done)}.yaml"
            suite.write_text(SUITE.format(tasks=tasks))
            done[key] = folder / f"out{len(done)}"
            assert main(["run", str(suite), "--out", str(done[key]), *args]) in (0, 1, 4)
        return done[key]

    return of


def data(folder):
    return json.loads((folder / "result.json").read_text())


def files(folder):
    """{relative path: bytes} of all but result.json."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.safetensors")}


def entries(folder, task):
    found = data(folder)
    return [[e for e in found[kind] if e["task"] == task] for kind in ("circuits", "checks")]


def test_two_runs_differ_in_their_timing_alone(run):
    one, two = (data(run("pronoun", label)) for label in ("first", "second"))
    assert {one.pop("timing")["total_seconds"] > 0, two.pop("timing")["total_seconds"] > 0} == {True}
    assert one["suite"].pop("file") != two["suite"].pop("file")
    assert one.pop("command") != two.pop("command")
    assert one == two


def test_two_runs_leave_the_same_bytes(run):
    one, two = (files(run("pronoun", label)) for label in ("first", "second"))
    assert any(name.startswith("evidence/") for name in one)
    assert any(name.startswith("circuits/") for name in one)
    assert one == two


def test_the_extraction_found_something_to_compare(run):
    [circuit] = data(run("pronoun", "first"))["circuits"]
    assert circuit["reached"]
    assert 0 < circuit["size"] < 1408


def test_a_task_has_the_same_entries_alone_and_with_others(run):
    alone, beside = run("pronoun", "first"), run("questions, pronoun", "first")
    assert entries(alone, "pronoun") == entries(beside, "pronoun")
    together = files(beside)
    assert all(together[name] == content for name, content in files(alone).items())


def test_a_seed_gives_the_same_circuit_alone_and_with_others(run):
    quick = ("--set", "checks=[sufficiency]")
    alone, more = run("pronoun", "a", *quick), run("pronoun", "a", *quick, "--seeds", "2")
    first = [entry["circuits"][0]["identity"] for entry in (data(alone), data(more))]
    assert first[0] == first[1]
    assert data(more)["circuits"][1]["identity"] != first[0]


@pytest.fixture(scope="module")
def controls(run):
    """Runs some of the method's checks; {check: its entry} and the circuits, all without the keys of their cases."""

    def of(*checks):
        found = data(run("pronoun", "controls", "--set", f"checks=[{', '.join(checks)}]"))
        entries = [[{**entry, "key": None} for entry in found[kind]] for kind in ("checks", "circuits")]
        return {entry["check"]: entry for entry in entries[0]}, entries[1]

    return of


@pytest.mark.parametrize("check", ["nonsense_control", "random_weights"])
def test_a_control_has_the_same_entry_alone_and_beside_another(controls, check):
    alone, circuits = controls(check)
    together, same_circuits = controls("nonsense_control", "random_weights")
    assert alone[check] == together[check]
    assert alone[check]["evidence"]["sha256"]
    assert circuits == same_circuits


def test_the_keys_of_cases_change_with_the_methods_parameters(run):
    args = ("--set", "checks=[sufficiency]", "--method", "full")
    same = run("pronoun", "a", *args), run("pronoun", "b", *args)
    other = run("pronoun", "a", *args, "--set", "target_loss=0.4")
    keys = [[entry["key"] for entry in data(folder)["circuits"]] for folder in (*same, other)]
    assert keys[0] == keys[1] != keys[2]
