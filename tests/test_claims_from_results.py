"""`faithcheck init claim` writes what a run found as a claim, which then holds."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from claiming import all_nodes, content, run, tiny

from faithcheck.circuit import load_circuit, save_circuit
from faithcheck.claims.claim import load_claim
from faithcheck.cli import main

SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [{task}]
method: full
seeds: 1
target_loss: 0.5
checks: [sufficiency, layernorm, nonsense_control]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a suite, a circuit, and the result of a run there on that circuit."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "suites").mkdir()
        (folder / "suites" / "mine.yaml").write_text(SUITE.format(task="pronoun"))
        save_circuit(folder / "all.safetensors", all_nodes())
        assert run("suites/mine.yaml", "result", "--circuit", "all.safetensors") == 1
    return folder


@pytest.fixture
def result(made, tmp_path, monkeypatch):
    """The result, in a copy of that folder, which is the working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "result"


def test_a_claim_that_was_just_written_holds_also_where_the_result_is_gone(result, tmp_path, capsys):
    assert main(["init", "claim", "mine", "--result", "result", "--dir", "claims/deep"]) == 0
    said = capsys.readouterr().out
    assert "wrote claims/deep/mine.yaml\nwrote claims/deep/mine.safetensors\n" in said
    assert said.endswith("next:\n  faithcheck run claims/deep/mine.yaml\n")
    for file in sorted(result.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    assert run("claims", "out") == 0


def test_what_is_written_is_what_the_result_says(result, tmp_path):
    main(["init", "claim", "mine", "--result", "result/result.json"])
    claim = load_claim(tmp_path / "mine.yaml").claim
    data = json.loads((result / "result.json").read_text())
    assert (claim.identity, claim.fingerprint) == (all_nodes().identity, tiny().fingerprint)
    assert (claim.model, claim.task, claim.suite) == ("stories-tiny", "pronoun", "suites/mine.yaml")
    assert claim.task_sha256 == data["suite"]["tasks"][0]["sha256"]
    assert claim.verdicts == {"sufficiency": "FAIL", "layernorm": "PASS"}, "what does not apply is not claimed"
    assert load_circuit(tmp_path / "mine.safetensors").identity == claim.identity


def test_a_claim_written_is_the_same_to_another_reader_of_yaml(result, tmp_path):
    main(["init", "claim", "mine", "--result", "result"])
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text()) == load_claim(tmp_path / "mine.yaml").marked.data


def test_a_task_beside_the_suite_is_written_as_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites" / "tasks").mkdir(parents=True)
    main(["init", "task", "own", "--dir", "suites/tasks"])
    (tmp_path / "suites" / "mine.yaml").write_text(SUITE.format(task="own"))
    save_circuit(tmp_path / "all.safetensors", all_nodes(task="own"))
    run("suites/mine.yaml", "result", "--circuit", "all.safetensors")
    assert main(["init", "claim", "mine", "--result", "result", "--dir", "claims"]) == 0
    assert load_claim(tmp_path / "claims" / "mine.yaml").claim.task == "../suites/tasks/own.yaml"
    assert run("claims", "out") == 0


def test_nothing_is_overwritten(result, tmp_path, capsys):
    (tmp_path / "mine.safetensors").write_text("keep me")
    assert main(["init", "claim", "mine", "--result", "result"]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert (tmp_path / "mine.safetensors").read_text() == "keep me"
    assert not (tmp_path / "mine.yaml").exists()


def test_an_extraction_is_refused_with_the_command_that_tests_its_circuit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(SUITE.format(task="pronoun").replace(", nonsense_control", ""))
    run("mine.yaml", "result")
    capsys.readouterr()
    assert main(["init", "claim", "mine", "--result", "result"]) == 2
    error = capsys.readouterr().err
    assert "a claim is about one circuit" in error
    assert "`faithcheck run mine.yaml --circuit result/circuits/pronoun-seed0.safetensors --out DIR`" in error


def interrupted(data):
    return {**data, "interrupted": True}, "the run was interrupted"


def without_circuit(data):
    return {**data, "circuits": []}, "the result has no circuit"


def of_an_older_version(data):
    suite = {key: value for key, value in data["suite"].items() if key != "model"}
    return {**data, "suite": suite}, "it is of an older version"


def without_verdict(data):
    checks = [{**check, "verdict": "ERROR"} for check in data["checks"]]
    return {**data, "checks": checks, "verdict": "ERROR"}, "no verdict that can be claimed"


def of_a_suite_that_is_gone(data):
    return {**data, "suite": {**data["suite"], "file": "gone.yaml"}}, "the suite gone.yaml is not there"


def without_its_circuit_file(data):
    circuits = [{**data["circuits"][0], "file": "circuits/gone.safetensors"}]
    return {**data, "circuits": circuits}, "cannot read the circuit"


def with_a_file_from_elsewhere(data):
    circuits = [{**data["circuits"][0], "file": "../all.safetensors"}]
    return {**data, "circuits": circuits}, "is not beside the result"


def of_another_schema(data):
    return {**data, "schema": "faithcheck.result/9"}, "faithcheck.result/9"


@pytest.mark.parametrize(
    "change",
    [
        interrupted,
        without_circuit,
        of_an_older_version,
        without_verdict,
        of_a_suite_that_is_gone,
        without_its_circuit_file,
        with_a_file_from_elsewhere,
        of_another_schema,
    ],
)
def test_a_result_that_no_claim_can_be_made_from_is_refused(result, tmp_path, capsys, change):
    file = result / "result.json"
    data, words = change(json.loads(file.read_text()))
    file.write_text(json.dumps(data))
    assert main(["init", "claim", "mine", "--result", "result"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "result" in error
    assert not (tmp_path / "mine.yaml").exists()


@pytest.mark.parametrize("args", [["claim", "x"], ["suite", "x", "--result", "result"]])
def test_result_is_for_claims_and_claims_need_it(tmp_path, monkeypatch, capsys, args):
    monkeypatch.chdir(tmp_path)
    assert main(["init", *args]) == 2
    assert "--result RESULT is what a claim is made from" in capsys.readouterr().err


def test_hostile_names_of_a_result_are_text_in_the_claim(result, tmp_path):
    file = result / "result.json"
    hostile = 'x"\n verdicts: {} # \u202e\x1b {{ 1 }}'
    data = json.loads(file.read_text())
    data["model"]["name"] = data["suite"]["model"] = hostile
    file.write_text(json.dumps(data))
    assert main(["init", "claim", "mine", "--result", "result"]) == 0
    claim = load_claim(tmp_path / "mine.yaml").claim
    assert claim.model == hostile
    assert claim.verdicts == content()["verdicts"]
