"""`faithcheck run SUITE --circuit FILE`: testing a circuit that exists."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import known_bad
import pytest
import stub_plugins
import torch
from faithcheck_circuits.methods.controls import Full
from fake_models import circuit_of
from known_bad_runs import NEURON, suite_of

from faithcheck.ablation import Ablation
from faithcheck.bundled import bundled_dir
from faithcheck.circuit import Circuit, load_circuit, save_circuit
from faithcheck.cli import main

SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [{tasks}]
method: {method}
seeds: 1
target_loss: 0.5
checks: [{checks}]
"""
PRUNE = "{name: sparse_prune, steps: 40, lr: 0.05, sweep: [1.0], batch: 16}"
CHECKS = "attention_agreement, node_roles, generalization, layernorm"
RECUT = ("live_size", "frozen_size")
"""Metrics that need the method's scores, which a circuit file does not hold."""


def write(path, tasks="pronoun, questions", method=PRUNE, checks=CHECKS):
    path.write_text(SUITE.format(tasks=tasks, method=method, checks=checks))
    return path


def run(suite, out, *args):
    code = main(["run", str(suite), "--out", str(out), *map(str, args)])
    return code, json.loads((out / "result.json").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The result of a run that extracts, and its circuit file."""
    folder = tmp_path_factory.mktemp("made")
    _, result = run(write(folder / "made.yaml", tasks="pronoun"), folder / "out")
    return result, folder / "out" / result["circuits"][0]["file"]


def test_a_circuit_that_the_run_would_remove_is_refused_with_all_in_place(made, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(made[1].parent.parent, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    file = out / "circuits" / made[1].name
    suite = write(tmp_path / "again.yaml", tasks="pronoun", checks="layernorm")
    assert main(["run", str(suite), "--circuit", str(file), "--out", str(out)]) == 2
    assert "which this run replaces; give another --out" in " ".join(capsys.readouterr().err.split())
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    shutil.copy(file, out / "circuits" / "mine.safetensors")
    run(suite, out, "--circuit", out / "circuits" / "mine.safetensors")
    assert {path.name for path in (out / "circuits").iterdir()} == {"mine.safetensors", "pronoun-given.safetensors"}


@pytest.fixture
def given(made, tmp_path):
    """Runs a suite on the circuit file, or on a copy with other provenance."""

    def of(*args, provenance=None, **suite):
        file = made[1]
        if provenance is not None:
            file = tmp_path / "copy.safetensors"
            save_circuit(file, replace(load_circuit(made[1]), provenance=provenance))
        return run(write(tmp_path / "given.yaml", **suite), tmp_path / "out", "--circuit", file, *args)

    return of


def metrics(result):
    """Every metric of every check but those that need scores; the seed is not known of a given circuit."""
    found = {}
    for check in result["checks"]:
        numbers = [{**metric, "seed": None} for metric in check["metrics"] if metric["name"] not in RECUT]
        found[check["check"]] = (check["verdict"], numbers)
    return found


def test_a_circuit_file_is_judged_as_in_the_run_that_made_it(made, given):
    code, result = given()
    assert made[0]["circuits"][0]["reached"]
    assert metrics(result) == metrics(made[0])
    assert code == {"FAIL": 1, "PASS": 0, "INCONCLUSIVE": 4}[result["verdict"]]
    [circuit], [before] = result["circuits"], made[0]["circuits"]
    same = ("task", "size", "edges", "loss", "reached", "identity")
    assert {key: circuit[key] for key in same} == {key: before[key] for key in same}


def test_nothing_is_extracted_where_no_check_asks_for_the_method(given):
    _, result = given()
    assert [case["case"] for case in result["timing"]["cases"] if "extract" in case["case"]] == []


def test_only_the_circuits_own_task_of_the_suite_is_checked(given):
    _, result = given()
    assert {check["task"] for check in result["checks"]} == {"pronoun"}


def test_the_circuit_is_kept_beside_the_result(made, given, tmp_path):
    _, result = given()
    kept = load_circuit(tmp_path / "out" / result["circuits"][0]["file"])
    assert kept.identity == load_circuit(made[1]).identity


def test_a_check_of_the_method_extracts_as_the_circuits_provenance_says(made, given):
    provenance = {"task": "pronoun", "method": {"name": "random", "parameters": {"fraction": 1.0}}}
    _, result = given(checks="nonsense_control", provenance=provenance)
    assert result["method"] == provenance["method"]
    assert [case["case"] for case in result["timing"]["cases"] if "extract" in case["case"]]
    [control] = [check for check in result["checks"] if check["check"] == "nonsense_control"]
    assert control["metrics"] or "extractions missed" in control["reason"]


def test_a_method_that_damages_the_model_and_raises_leaves_no_verdict_on_a_given_circuit(given, tmp_path):
    shutil.copy(stub_plugins.__file__, tmp_path / "plugins.py")
    code, result = given("--method", "plugins.py:AltersAndRaises", checks="layernorm, nonsense_control")
    assert code == 3
    assert {check["verdict"] for check in result["checks"]} == {"ERROR"}


def test_the_method_on_the_command_line_comes_before_the_provenance(given):
    _, result = given("--method", "full", checks="nonsense_control")
    assert result["method"]["name"] == "full"


def test_a_check_of_the_method_does_not_apply_to_a_circuit_of_no_known_method(given):
    code, result = given(checks="nonsense_control", provenance={"task": "pronoun"})
    [control] = [check for check in result["checks"] if check["check"] == "nonsense_control"]
    assert (control["verdict"], result["method"]) == ("NOT_APPLICABLE", None)
    assert "no method is known for this circuit" in control["reason"]
    assert code in (0, 1, 4)


@pytest.mark.parametrize(
    "method", [{"name": "acdc", "parameters": {}}, {"name": "gone.py:Method"}, {"name": ["x"], "parameters": {}}, None]
)
def test_a_circuit_of_a_method_that_is_not_here_is_still_tested(made, given, method):
    provenance = {"task": "pronoun", "method": method}
    _, result = given(checks=f"nonsense_control, {CHECKS}", provenance=provenance)
    found = metrics(result)
    assert found.pop("nonsense_control")[0] == "NOT_APPLICABLE"
    assert found == metrics(made[0])


@pytest.mark.parametrize(
    ("changed", "remark"),
    [({"fingerprint": "0" * 64}, "on a model with other weights"), ({"task_sha256": "0" * 64}, "with other prompts")],
)
def test_every_verdict_says_that_the_circuit_was_found_on_another_model_or_task(made, given, changed, remark):
    _, result = given(provenance={**load_circuit(made[1]).provenance, **changed})
    assert all(remark in check["reason"] for check in result["checks"])
    assert not any(remark in check["reason"] for check in made[0]["checks"])


def test_a_circuit_without_provenance_is_about_the_only_task_of_the_suite(made, given):
    _, result = given(tasks="pronoun", provenance={})
    assert metrics(result) == metrics(made[0])


@pytest.fixture
def frozen(made, tmp_path):
    """The circuit file as one that was found with frozen norms, under mean ablation with means of 0."""
    circuit, path = load_circuit(made[1]), tmp_path / "frozen.safetensors"
    means = {site: torch.zeros(len(kept)) for site, kept in circuit.keep.items()}
    save_circuit(path, replace(circuit, ablation=Ablation("mean", means), norms="frozen"))
    return path


def test_a_circuit_and_its_extractor_are_judged_under_the_circuits_own_ablation_and_norms(
    frozen, tmp_path, monkeypatch
):
    asked = []
    extract = Full.extract
    monkeypatch.setattr(Full, "extract", lambda self, problem: asked.append(problem) or extract(self, problem))
    suite = write(tmp_path / "given.yaml", checks="sufficiency, nonsense_control")
    _, result = run(suite, tmp_path / "out", "--circuit", frozen, "--method", "full")
    assert (result["suite"]["ablation"], result["suite"]["norms"]) == ("mean", "frozen")
    assert asked
    assert {(problem.ablation.kind, problem.norms) for problem in asked} == {("mean", "frozen")}


def other_model(folder, file):
    return ["--model", "stories-sparse", "--circuit", file], "does not fit stories-sparse"


def missing(folder, file):
    return ["--circuit", folder / "gone.safetensors"], "gone.safetensors"


def no_circuit(folder, file):
    path = folder / "text.safetensors"
    path.write_text("not a circuit")
    return ["--circuit", path], "text.safetensors"


def a_folder(folder, file):
    return ["--circuit", folder], str(folder)


def evidence(folder, file):
    return ["--circuit", next((file.parent.parent / "evidence").iterdir())], "not a circuit file"


def other_task(folder, file):
    return ["--set", "tasks=[questions]", "--circuit", file], "the circuit is about the task 'pronoun'"


def misspelt_task(folder, file):
    task = folder / "pronouns.yaml"
    text = (bundled_dir() / "tasks" / "pronoun.yaml").read_text()
    task.write_text(text.replace("task: pronoun", "task: pronouns"))
    return ["--set", f"tasks=[{task}]", "--circuit", file], "did you mean 'pronouns'?"


def no_task_among_several(folder, file):
    path = folder / "anonymous.safetensors"
    save_circuit(path, replace(load_circuit(file), provenance={}))
    return ["--circuit", path], "task"


def other_ablation(folder, file):
    return ["--set", "ablation=mean", "--circuit", file], "under zero ablation and is tested under its own, not under"


def other_norms(folder, file):
    return ["--set", "norms=frozen", "--circuit", file], "under live norms and is tested under its own, not under"


@pytest.mark.parametrize(
    "case",
    [
        other_ablation,
        other_norms,
        other_model,
        missing,
        no_circuit,
        a_folder,
        evidence,
        other_task,
        misspelt_task,
        no_task_among_several,
    ],
)
def test_a_circuit_that_cannot_be_tested_is_refused_in_a_line_or_two(made, tmp_path, capsys, case):
    args, fragment = case(tmp_path, made[1])
    suite = write(tmp_path / "given.yaml")
    assert main(["run", str(suite), "--out", str(tmp_path / "out"), *map(str, args)]) == 2
    error = capsys.readouterr().err.strip()
    assert fragment in error
    assert "None" not in error
    assert len(error.splitlines()) <= 2
    assert not (tmp_path / "out").exists()


def without_a_site(keep):
    return {site: kept for site, kept in keep.items() if site != "0.attn_k"}


def with_another_site(keep):
    return {**keep, "3.attn_k": torch.zeros(2, dtype=torch.bool)}


def with_a_node_too_many(keep):
    return {**keep, "0.attn_k": torch.zeros(3, dtype=torch.bool)}


def without_any_site(keep):
    return {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without_a_site, "they differ in the site 0.attn_k"),
        (with_another_site, "they differ in the site 3.attn_k"),
        (with_a_node_too_many, "0.attn_k has 2 nodes, the circuit's has 3"),
        (without_any_site, "they differ in the site 0.attn_k"),
    ],
)
def test_a_circuit_with_other_sites_than_the_model_is_refused_by_the_name_of_the_site(tmp_path, capsys, change, named):
    suite = suite_of(tmp_path, "beside")
    keep = circuit_of(known_bad.beside(), **NEURON).keep
    save_circuit(tmp_path / "other.safetensors", Circuit(change(keep)))
    code = main(["run", str(suite), "--circuit", str(tmp_path / "other.safetensors"), "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert code == 2
    assert named in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
