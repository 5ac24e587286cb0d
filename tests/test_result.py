"""result.json and the files beside it."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import shlex

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from faithcheck.check import Metric
from faithcheck.circuit import Circuit, load_circuit
from faithcheck.cli import main
from faithcheck.estimate import Estimate
from faithcheck.events import CheckJudged, CircuitFound
from faithcheck.gates import Gate
from faithcheck.judging import Finding, Judged
from faithcheck.result import Result, record_check, record_circuit
from faithcheck.verdict import Verdict

SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun]
method: {method}
seeds: {seeds}
target_loss: 0.15
checks: [nonsense_control, attention_agreement, node_roles, generalization, layernorm]
"""


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def strict(path):
    return json.loads(path.read_text(), parse_constant=refuse)


def run(folder, out, method="random", seeds=1, *args):
    suite = folder / f"{method}.yaml"
    suite.write_text(SUITE.format(method=method, seeds=seeds))
    return main(["run", str(suite), "--out", str(out), *args])


@pytest.fixture(scope="module", params=["full", "random"])
def folder(request, tmp_path_factory):
    """What a run that finds circuits leaves, and one that finds none."""
    folder = tmp_path_factory.mktemp("run")
    assert run(folder, folder / "out", request.param) == 1
    return folder / "out"


def evidence_of(result):
    return [entry["evidence"] for entry in (*result["circuits"], *result["checks"]) if "evidence" in entry]


def test_a_result_has_the_keys_of_its_schema(folder):
    result = strict(folder / "result.json")
    assert list(result) == [
        "schema",
        "verdict",
        "interrupted",
        "command",
        "suite",
        "method",
        "model",
        "tasks",
        "circuits",
        "checks",
        "environment",
        "timing",
    ]
    assert (result["schema"], result["interrupted"]) == ("faithcheck.result/1", False)
    assert set(result["model"]) == {"name", "fingerprint", "sites", "norms"}
    assert set(result["method"]) == {"name", "parameters"}
    assert {"faithcheck", "python", "torch", "threads", "machine", "device"} <= set(result["environment"])
    assert {"total_seconds", "cases"} <= set(result["timing"])


def test_the_suite_in_a_result_is_the_one_that_ran(folder):
    suite = strict(folder / "result.json")["suite"]
    assert (suite["model"], suite["seeds"], suite["target_loss"], suite["ablation"]) == (
        "stories-tiny",
        1,
        0.15,
        "zero",
    )
    assert [task["name"] for task in suite["tasks"]] == ["pronoun"]
    gates = {check["name"]: check["gates"] for check in suite["checks"]}
    assert gates["sufficiency"] == {"loss": "<= target_loss + 0.05", "node_fraction": "<= 0.1"}


def test_every_circuit_has_its_entry_and_its_file(folder):
    result = strict(folder / "result.json")
    assert len(result["circuits"]) == 1
    for entry in result["circuits"]:
        assert {"task", "seed", "size", "edges", "loss", "reached", "file", "identity", "key", "evidence"} == set(entry)
        circuit = load_circuit(folder / entry["file"])
        assert (circuit.size, circuit.identity) == (entry["size"], entry["identity"])
        assert circuit.provenance["reached"] is entry["reached"]
        assert circuit.provenance["fingerprint"] == result["model"]["fingerprint"]
        assert circuit.provenance["method"] == result["method"]


def test_every_check_has_its_entry(folder):
    result = strict(folder / "result.json")
    for entry in result["checks"]:
        assert {"check", "task", "verdict", "reason", "question", "metrics", "key"} <= set(entry)
        assert entry["verdict"] in set(Verdict)
        assert entry["reason"]
        for metric in entry["metrics"]:
            assert {"name", "seed", "estimate"} <= set(metric)
            assert metric["estimate"] is not None or metric["reached"] is False


def test_the_verdict_of_a_run_is_the_worst_of_its_checks(folder):
    result = strict(folder / "result.json")
    assert result["verdict"] == "FAIL"
    assert "FAIL" in {check["verdict"] for check in result["checks"]}


def test_evidence_is_named_with_the_hash_of_its_file(folder):
    result = strict(folder / "result.json")
    named = evidence_of(result)
    assert len(named) > len(result["circuits"])
    for evidence in named:
        content = (folder / evidence["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == evidence["sha256"]
        assert load_file(folder / evidence["file"])


def test_a_folder_holds_nothing_that_the_result_does_not_name(folder):
    result = strict(folder / "result.json")
    named = {entry["file"] for entry in result["circuits"]}
    named |= {evidence["file"] for evidence in evidence_of(result)}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == named | {"result.json"}


def judged(estimate, gate=None):
    metric = Metric("ratio", estimate, seed=0)
    verdict = gate and gate.judge(estimate)
    finding = Finding("c", "t", verdict or Verdict.PASS, "a reason", [Judged(metric, gate, verdict)])
    return CheckJudged(finding, "key")


@pytest.mark.parametrize(
    ("estimate", "numbers"),
    [
        (None, {"estimate": None, "reached": False}),
        (Estimate(math.inf, 3.0, math.inf, 6), {"estimate": None, "low": 3.0, "high": None, "reached": False, "n": 6}),
        (Estimate(2.0, 1.0, math.inf, 6), {"estimate": 2.0, "low": 1.0, "high": None, "n": 6}),
        (Estimate.exact(0.5, 9), {"estimate": 0.5, "low": 0.5, "high": 0.5, "n": 9}),
    ],
)
def test_what_was_never_reached_is_null_and_says_so(tmp_path, estimate, numbers):
    [entry] = record_check(tmp_path, judged(estimate))["metrics"]
    assert entry == {"name": "ratio", "seed": 0, **numbers}
    json.dumps(entry, allow_nan=False)


@pytest.mark.parametrize("number", [np.float32, np.float64, torch.tensor, int])
def test_numbers_of_any_kind_are_written_as_numbers(tmp_path, number):
    estimate = Estimate(number(2), number(1), number(3), np.int64(9))
    [entry] = record_check(tmp_path, judged(estimate))["metrics"]
    assert json.loads(json.dumps(entry)) == {"name": "ratio", "seed": 0, "estimate": 2, "low": 1, "high": 3, "n": 9}


@pytest.mark.parametrize("odd", [{"name": 3}, {"on": 3}, {"seed": "0"}, {"seed": True}, {"seed": 0.0}], ids=str)
def test_a_metric_that_could_not_be_read_again_is_refused_where_it_is_made(odd):
    with pytest.raises(TypeError, match="metric"):
        Metric(**{"name": "ratio", "estimate": None} | odd)


def test_a_gated_metric_names_its_gate_with_its_numbers_filled_in(tmp_path):
    gate = Gate.parse("<= target_loss + 0.1", target_loss=0.15)
    [entry] = record_check(tmp_path, judged(Estimate.exact(0.5, 9), gate))["metrics"]
    assert (entry["gate"], entry["verdict"]) == ("<= 0.25", "FAIL")


def test_tasks_and_checks_whose_names_run_together_have_files_of_their_own(tmp_path):
    def entry(task, check):
        metric = Judged(Metric("ratio", Estimate.exact(0.5, 9), seed=0), None, None)
        finding = Finding(check, task, Verdict.ERROR, "why", [metric], {"x": torch.zeros(1)}, details=f"{task} {check}")
        return record_check(tmp_path, CheckJudged(finding, "key"))

    circuit = Circuit({"0.mlp": torch.ones(2, dtype=torch.bool)})
    drawn = CircuitFound("a", 0, circuit, None, 0.0, True, "key", evidence={"x": torch.ones(1)})
    entries = [entry("a-b", "c"), entry("a", "b-c"), entry("a-seed0", "circuit"), record_circuit(tmp_path, drawn)]
    assert len({entry["evidence"]["file"] for entry in entries}) == 4
    assert len({entry["details"] for entry in entries[:3]}) == 3


SETS = [combo for size in range(1, 6) for combo in itertools.combinations(Verdict, size)]


def result_of(tmp_path, verdicts, interrupted=False):
    checks = [{"verdict": verdict.value} for verdict in verdicts]
    return Result(tmp_path, {}, None, {}, {}, checks=checks, interrupted=interrupted)


@pytest.mark.parametrize("verdicts", SETS, ids="+".join)
def test_exit_codes_and_the_verdict_follow_the_first_that_holds(tmp_path, verdicts):
    result = result_of(tmp_path, verdicts)
    first = next((v for v in ("ERROR", "FAIL", "INCONCLUSIVE", "PASS") if v in verdicts), "NOT_APPLICABLE")
    assert result.verdict == first
    assert result.exit_code() == {"ERROR": 3, "FAIL": 1, "PASS": 0}.get(first, 4)
    assert result.exit_code(allow_inconclusive=True) == {"ERROR": 3, "FAIL": 1}.get(first, 0)


@pytest.mark.parametrize("verdicts", SETS, ids="+".join)
def test_an_interrupted_run_exits_130_and_is_never_a_pass(tmp_path, verdicts):
    result = result_of(tmp_path, verdicts, interrupted=True)
    assert {result.exit_code(), result.exit_code(allow_inconclusive=True)} == {130}
    assert result.verdict == next((v for v in ("ERROR", "FAIL") if v in verdicts), "INCONCLUSIVE")


def test_a_second_run_into_a_folder_leaves_nothing_of_the_first(tmp_path):
    out = tmp_path / "out"
    run(tmp_path, out, "full", 1, "--seeds", "2", "--set", "checks=[layernorm]", "--method", "random")
    assert len(list((out / "circuits").iterdir())) == 2
    run(tmp_path, out, "full")
    assert [path.name for path in (out / "circuits").iterdir()] == ["pronoun-seed0.safetensors"]
    result = strict(out / "result.json")
    assert {f"evidence/{path.name}" for path in (out / "evidence").iterdir()} == {
        evidence["file"] for evidence in evidence_of(result)
    }
    assert not (out / "errors").exists()


def test_a_second_run_leaves_files_that_are_not_its_own(tmp_path):
    """A checkout has a folder named circuits/ too."""
    mine = tmp_path / "circuits" / "mine.py"
    mine.parent.mkdir()
    mine.write_text("precious")
    for _ in range(2):
        assert run(tmp_path, tmp_path, "random") == 1
    assert mine.read_text() == "precious"


def a_file(folder):
    (folder / "out").write_text("a file")
    return folder / "out"


def inside_a_file(folder):
    return a_file(folder) / "deeper"


def no_such_place(folder):
    return folder / ("x" * 300)


@pytest.mark.parametrize("place", [a_file, inside_a_file, no_such_place])
def test_an_output_folder_that_cannot_be_made_is_refused_by_name(tmp_path, capsys, place):
    out = place(tmp_path)
    assert run(tmp_path, out) == 2
    error = capsys.readouterr().err.strip()
    assert str(out) in error
    assert len(error.splitlines()) <= 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_folder_that_cannot_be_written_is_refused_by_name(tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o500)
    assert run(tmp_path, out) == 2
    assert str(out) in capsys.readouterr().err


def test_a_result_is_written_whole_or_not_at_all(tmp_path):
    result = Result(tmp_path, {}, None, {}, {}, timing={"bad": math.nan})
    with pytest.raises(ValueError, match="JSON"):
        result.write()
    assert not (tmp_path / "result.json").exists()


def test_a_traceback_that_cannot_be_encoded_is_written_with_what_can_be(tmp_path):
    finding = Finding("c", "t", Verdict.ERROR, "r", details="ValueError: caf\u00e9 \udc80")
    entry = record_check(tmp_path, CheckJudged(finding, "key"))
    assert (tmp_path / entry["details"]).read_text(encoding="utf-8") == "ValueError: caf\u00e9 \\udc80"


def test_names_that_would_leave_the_folder_are_written_inside_it(tmp_path):
    finding = Finding("../c", "../../t/x", Verdict.ERROR, "r", (), {"a": torch.ones(1)}, details="trace")
    entry = record_check(tmp_path, CheckJudged(finding, "key"))
    for file in (entry["evidence"]["file"], entry["details"]):
        assert ".." not in file
        assert (tmp_path / file).is_file()


def test_a_result_says_what_is_typed_to_make_it_again(tmp_path):
    out = tmp_path / "out"
    run(tmp_path, out, "random", 1, "--method", "full", "--set", "checks=[layernorm]", "--device", "cpu")
    words = shlex.split(strict(out / "result.json")["command"])
    suite = str(tmp_path / "random.yaml")
    assert words == ["faithcheck", "run", suite, "--method", "full", "--set", "checks=[layernorm]", "--device", "cpu"]
    assert main([*words[1:], "--out", str(tmp_path / "again")]) == 1
    assert strict(tmp_path / "again" / "result.json")["circuits"] == strict(out / "result.json")["circuits"]
