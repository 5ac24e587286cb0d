"""A claim holds under what its suite asked when it was made: whatever of that was changed is said, and nothing else."""

from __future__ import annotations

import json
import shutil

import pytest
from claiming import all_nodes, run

from faithcheck.circuit import save_circuit
from faithcheck.claims.claim import load_claim
from faithcheck.cli import main
from faithcheck.marked_yaml import load

SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun]
method: full
seeds: 1
target_loss: 0.5
checks:
  - sufficiency: {gates: {node_fraction: "<= 0.3"}}
  - faithcheck/layernorm
  - nonsense_control
  - checks.py:Strict: {least: 1e-5}
"""
CHECK = """
from faithcheck import parameters
from faithcheck.check import Measurement, Metric
from faithcheck.estimate import Estimate

class Strict:
    '''Strict.'''

    name, scope, question, gates = "strict", "circuit", "Is it?", {"it": "<= 1"}

    class Parameters(parameters.Parameters):
        least: float = 0.0
        often: int = 3

    def __init__(self, given):
        self.least = given.least

    def measure(self, subject):
        return Measurement(metrics=[Metric("it", Estimate(self.least, self.least, self.least, 200))])

    def sentence(self, metric, verdict):
        return "it is so"
"""
FULL = {"name": "full", "parameters": {}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a suite, and a claim of what it found of a circuit."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "suites").mkdir()
        (folder / "suites" / "own.yaml").write_text(SUITE)
        (folder / "suites" / "checks.py").write_text(CHECK)
        save_circuit(folder / "all.safetensors", all_nodes(method=FULL))
        run("suites/own.yaml", "result", "--circuit", "all.safetensors")
        assert main(["init", "claim", "a", "--result", "result", "--dir", "claims"]) == 0
    return folder


@pytest.fixture
def claimed(made, tmp_path):
    """The claim's file, in a copy of that folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "claims" / "a.yaml"


def test_a_claim_says_what_its_suite_asked_in_full(claimed):
    asked = load_claim(claimed).claim.asked
    assert (asked.target_loss, asked.loss, asked.seeds, asked.method) == (0.5, None, 1, {"full": {}})
    assert list(asked.checks) == ["sufficiency", "layernorm", "nonsense_control", "strict"]
    assert asked.checks["sufficiency"]["gates"] == {"loss": "<= target_loss + 0.05", "node_fraction": "<= 0.3"}
    assert asked.checks["strict"] == {"least": 1e-5, "often": 3, "gates": {"it": "<= 1"}}


def test_a_claim_just_written_holds_by_the_names_that_checks_have_in_the_result(claimed, tmp_path):
    assert load_claim(claimed).claim.verdicts["strict"] == "PASS"
    assert run(claimed, tmp_path / "out") == 0


CHANGES = {
    "a gate that was loosened": ("<= 0.3", "<= 1", "checks.sufficiency.gates.node_fraction was <= 0.3 and is <= 1"),
    "a gate that came to be": (
        "faithcheck/layernorm",
        "faithcheck/layernorm: {gates: {frozen_loss: '<= 9'}}",
        "checks.layernorm.gates.frozen_loss was <= target_loss + 0.1 and is <= 9",
    ),
    "the target loss": ("target_loss: 0.5", "target_loss: 0.7", "target_loss was 0.5 and is 0.7"),
    "the loss": ("target_loss: 0.5", "target_loss: 0.5\nloss: binary", "loss was nothing and is binary"),
    "a parameter": ("least: 1e-5", "often: 4", "checks.strict.least was 1e-05 and is 0.0"),
    "the seeds": ("seeds: 1", "seeds: [1]", "seeds was 1 and is [1]"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_suite_that_asks_something_else_breaks_its_claim_and_is_told(claimed, tmp_path, capsys, change):
    before, after, sentence = CHANGES[change]
    (tmp_path / "suites" / "own.yaml").write_text(SUITE.replace(before, after))
    assert run(claimed, tmp_path / "out") == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"the suite asks something else than claimed: {sentence}" in said
    assert not (tmp_path / "out" / "a" / "result.json").exists()


def test_the_line_in_the_claim_is_that_of_what_changed(claimed, tmp_path, capsys):
    (tmp_path / "suites" / "own.yaml").write_text(SUITE.replace("<= 0.3", "<= 1"))
    run(claimed, tmp_path / "out")
    line = next(number for number, line in enumerate(claimed.read_text().splitlines(), 1) if "node_fraction" in line)
    assert f"a.yaml:{line}: the suite asks" in capsys.readouterr().out


def test_another_extractor_in_the_circuits_provenance_breaks_a_claim_about_the_method(claimed, tmp_path, capsys):
    other = {"name": "random", "parameters": {}}
    save_circuit(claimed.with_suffix(".safetensors"), all_nodes(method=other))
    assert run(claimed, tmp_path / "out") == 1
    said = capsys.readouterr().out
    assert "method.full was {} and is nothing" in said
    assert "method.random.fraction was nothing and is" in said


def test_what_no_claimed_verdict_depends_on_may_change(claimed, tmp_path):
    claimed.write_text(claimed.read_text().split("verdicts:")[0] + "verdicts: {layernorm: PASS}\n")
    save_circuit(claimed.with_suffix(".safetensors"), all_nodes(method={"name": "random", "parameters": {}}))
    suite = SUITE.replace("<= 0.3", "<= 1").replace("seeds: 1", "seeds: 2").replace("least: 1e-5", "least: 2e-5")
    (tmp_path / "suites" / "own.yaml").write_text(f"# moved\n{suite}".replace("  - nonsense_control\n", ""))
    assert run(claimed, tmp_path / "out") == 0


def test_without_what_was_asked_the_suite_may_change(claimed, tmp_path):
    keys = load(claimed).data
    del keys["asked"]
    claimed.write_text(json.dumps({**keys, "verdicts": {"layernorm": "PASS"}}))
    (tmp_path / "suites" / "own.yaml").write_text(SUITE.replace("target_loss: 0.5", "target_loss: 0.7"))
    assert run(claimed, tmp_path / "out") == 0
