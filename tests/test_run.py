"""`faithcheck run`: verdicts, exit codes, and what a plugin that misbehaves comes to."""

from __future__ import annotations

import gc
import json
import shutil
import weakref

import pytest
import stub_plugins
import torch

from faithcheck.bundled import bundled_dir
from faithcheck.checks.sufficiency import Sufficiency
from faithcheck.cli import main

SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [{tasks}]
method: sparse_prune
seeds: 2
target_loss: 0.15
checks: [{checks}]
"""
CHECKS = "nonsense_control, attention_agreement, node_roles, generalization, layernorm"


@pytest.fixture
def suite(tmp_path):
    """Writes a suite, with plugins.py beside it."""
    shutil.copy(stub_plugins.HERE, tmp_path / "plugins.py")

    def write(tasks="pronoun", checks=CHECKS):
        path = tmp_path / "mine.yaml"
        path.write_text(SUITE.format(tasks=tasks, checks=checks))
        return path

    return write


def run(suite, *args):
    """The exit code, result.json where there is one, and the folder."""
    out = suite.parent / "out"
    code = main(["run", str(suite), "--out", str(out), *args])
    file = out / "result.json"
    return code, json.loads(file.read_text()) if file.exists() else None, out


def verdicts(result, task="pronoun"):
    return {check["check"]: check["verdict"] for check in result["checks"] if check["task"] == task}


def test_the_whole_model_is_faithful_but_fails_for_its_size(suite):
    code, result, _ = run(suite(), "--method", "full", "--seeds", "6")
    found = verdicts(result)
    assert (code, result["verdict"], found.pop("sufficiency")) == (1, "FAIL", "FAIL")
    assert "FAIL" not in found.values()
    assert {found[name] for name in ("attention_agreement", "node_roles", "layernorm")} == {"PASS"}
    gated = {metric["name"]: metric["verdict"] for metric in result["checks"][0]["metrics"]}
    assert gated == {"loss": "PASS", "node_fraction": "FAIL"}
    assert [circuit["seed"] for circuit in result["circuits"]] == list(range(6))


def test_random_nodes_are_no_circuit_and_leave_the_other_checks_nothing_to_test(suite):
    code, result, _ = run(suite(), "--method", "random", "--set", "method.fraction=0.02")
    found = verdicts(result)
    assert (code, found.pop("sufficiency")) == (1, "FAIL")
    assert set(found.values()) == {"NOT_APPLICABLE"}
    reasons = [check["reason"] for check in result["checks"][2:]]
    assert all("no circuit to test" in reason for reason in reasons)
    assert not any(circuit["reached"] for circuit in result["circuits"])


def test_a_method_that_hangs_is_stopped_and_the_other_task_goes_on(suite):
    path = suite(tasks="pronoun, questions", checks="layernorm")
    code, result, _ = run(path, "--method", "plugins.py:HangsOnPronouns", "--seeds", "1", "--set", "time_limit=3")
    assert code == 3
    assert set(verdicts(result).values()) == {"ERROR"}
    assert verdicts(result, "questions") == {"sufficiency": "FAIL", "layernorm": "PASS"}
    [reason] = {check["reason"] for check in result["checks"] if check["task"] == "pronoun"}
    assert "the method took longer than its 3 seconds" in reason


def test_a_check_that_hangs_is_stopped_and_the_others_go_on(suite):
    checks = "plugins.py:HangingCheck, layernorm"
    code, result, _ = run(suite(checks=checks), "--method", "full", "--set", "time_limit=2")
    assert code == 3
    assert verdicts(result) == {"sufficiency": "FAIL", "bad_check": "ERROR", "layernorm": "PASS"}
    [reason] = [check["reason"] for check in result["checks"] if check["check"] == "bad_check"]
    assert "the check bad_check took longer than its 4 seconds" in reason


@pytest.mark.parametrize("kind", ["mean", "task_mean", "resample"])
def test_a_circuit_found_under_another_ablation_is_cut_tested_saved_and_tested_again_under_it(suite, kind):
    settings = ("--set", f"ablation={kind}", "--seeds", "1", "--set", "method.steps=60", "--set", "method.lr=0.05")
    path = suite(checks="attention_agreement, node_roles, layernorm")
    _, found, out = run(path, *settings)
    [circuit] = found["circuits"]
    assert circuit["reached"]
    assert found["suite"]["ablation"] == kind
    assert "ERROR" not in verdicts(found).values()
    saved = out / circuit["file"]
    again = out.parent / "again"
    main(["run", str(path), "--circuit", str(saved), "--out", str(again)])
    result = json.loads((again / "result.json").read_text())
    assert (result["circuits"][0]["loss"], result["suite"]["ablation"]) == (circuit["loss"], kind)
    assert verdicts(result) == verdicts(found)


def test_a_parameter_set_on_the_command_line_reaches_the_method_named_there(suite):
    _, result, _ = run(suite(checks="sufficiency"), "--method", "random", "--set", "method.fraction=1.0")
    assert result["method"] == {"name": "random", "parameters": {"fraction": 1.0}}
    assert {circuit["size"] for circuit in result["circuits"]} == {1408}


def test_a_misspelt_parameter_of_the_method_on_the_command_line_is_refused(suite, capsys):
    code, result, _ = run(suite(), "--method", "random", "--set", "method.fractoin=1.0")
    error = capsys.readouterr().err
    assert (code, result) == (2, None)
    assert "fractoin" in error
    assert "did you mean 'fraction'?" in error


def test_parameters_in_the_suite_belong_to_the_method_that_it_names(suite):
    path = suite(checks="sufficiency")
    path.write_text(path.read_text().replace("method: sparse_prune", "method: {name: sparse_prune, steps: 7}"))
    code, result, _ = run(path, "--method", "full")
    assert (code, result["method"]) == (1, {"name": "full", "parameters": {}})


@pytest.mark.parametrize("lenient", [False, True])
def test_a_task_that_the_model_cannot_do_leaves_nothing_to_check(suite, lenient):
    path = suite(tasks="swapped.yaml")
    task = (bundled_dir() / "tasks" / "pronoun.yaml").read_text()
    (path.parent / "swapped.yaml").write_text(task.replace("{female: she, male: he}", "{female: he, male: she}"))
    code, result, _ = run(path, *["--allow-inconclusive"] * lenient)
    assert (code, result["verdict"]) == (0 if lenient else 4, "NOT_APPLICABLE")
    assert set(verdicts(result).values()) == {"NOT_APPLICABLE"}
    assert all("the model itself has a loss of" in check["reason"] for check in result["checks"])
    assert result["circuits"] == []


@pytest.mark.parametrize(("args", "code"), [([], 4), (["--allow-inconclusive"], 0)])
def test_an_inconclusive_run_is_let_through_where_it_is_allowed(suite, args, code):
    loose = ["--method", "full", "--set", "checks.sufficiency.gates.node_fraction=<= 1", "--seeds", "1"]
    found, result, _ = run(suite(checks="nonsense_control"), *loose, *args)
    assert (found, verdicts(result)) == (code, {"sufficiency": "PASS", "nonsense_control": "INCONCLUSIVE"})


def test_a_run_whose_gates_all_pass_exits_0(suite):
    loose = ["--method", "full", "--set", "checks.sufficiency.gates.node_fraction=<= 1", "--seeds", "1"]
    code, result, _ = run(suite(checks="layernorm, node_roles, attention_agreement"), *loose)
    assert (code, result["verdict"]) == (0, "PASS")


def test_a_failure_is_no_success_where_inconclusive_is_allowed(suite):
    code, _, _ = run(suite(), "--method", "random", "--allow-inconclusive")
    assert code == 1


def test_a_method_in_a_file_runs_and_is_recorded_by_its_reference(suite):
    code, result, out = run(suite(checks="layernorm"), "--method", "plugins.py:Everything", "--seeds", "1")
    assert (code, result["method"]) == (1, {"name": "plugins.py:Everything", "parameters": {}})
    assert verdicts(result)["layernorm"] == "PASS"
    assert (out / result["circuits"][0]["file"]).is_file()


def test_a_suites_memory_is_the_methods_budget_in_bytes(suite):
    _, result, _ = run(suite(), "--method", "plugins.py:SaysItsMemory", "--set", "memory=0.5")
    assert result["suite"]["memory"] == 0.5
    assert all("ValueError: 536870912 bytes" in check["reason"] for check in result["checks"])


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("Raises", "ValueError: no luck"),
        ("TakesAllMemory", "seemingly out of memory (lower the suite's memory of 2 GiB, or a parameter such as batch)"),
        ("Exits", "sys.exit(0)"),
        ("RaisesWhatIsNoException", "raised Odd"),
        ("InterruptsItself", "raised KeyboardInterrupt"),
        ("Dies", "called os._exit(0)"),
        ("Recurses", "RecursionError"),
        ("ForgetsVariables", "the method changed problem.prompts.variables["),
        ("ComplexScores", "the scores of 0.attn_in are torch.complex64, not a tensor of real numbers"),
        ("ScoresInLists", "the scores of 0.attn_in are list, not a tensor of real numbers"),
        ("WrongSites", "9.nowhere"),
        ("WrongSizes", "0.attn_in has 64 nodes"),
        ("NotANumber", "a score is NaN"),
        ("Nothing", "returned a NoneType, not NodeScores"),
        ("TooFew", "0 scores for"),
        ("NoExtract", "extract"),
        ("Alters", "changed the model"),
        ("EditsPrompts", "the method changed problem.prompts.tokens, which it was given"),
        ("EditsSites", "the method changed problem.model.sites, which it was given"),
    ],
)
def test_a_method_that_misbehaves_is_an_error_of_every_check_with_its_traceback(suite, capsys, method, reason):
    code, result, out = run(suite(), "--method", f"plugins.py:{method}")
    assert (code, result["verdict"]) == (3, "ERROR")
    assert set(verdicts(result).values()) == {"ERROR"}
    for check in result["checks"]:
        assert reason in check["reason"]
        assert "\n" not in check["reason"]
        assert "Traceback" in (out / check["details"]).read_text()
    assert "Traceback" not in capsys.readouterr().err


def test_a_method_that_changes_the_means_is_an_error(suite):
    args = ("--method", "plugins.py:ChangesMeans", "--seeds", "1", "--set", "ablation=task_mean")
    code, result, _ = run(suite(checks="layernorm"), *args)
    assert (code, set(verdicts(result).values())) == (3, {"ERROR"})
    assert "the method changed problem.ablation.means['0.attn_q']" in result["checks"][0]["reason"]


def test_a_method_that_leaves_the_working_directory_does_not_take_the_result_with_it(suite, monkeypatch):
    path = suite(checks="layernorm")
    monkeypatch.chdir(path.parent)
    assert main(["run", "mine.yaml", "--method", "plugins.py:LeavesTheFolder", "--seeds", "1", "--out", "here"]) == 1
    result = json.loads((path.parent / "here" / "result.json").read_text())
    assert verdicts(result)["layernorm"] == "PASS"


def test_circuits_of_seeds_before_one_that_goes_wrong_are_kept(suite):
    code, result, out = run(suite(checks="layernorm"), "--method", "plugins.py:OneBadSeed", "--seeds", "3")
    assert code == 3
    assert verdicts(result)["layernorm"] == "ERROR"
    assert [circuit["seed"] for circuit in result["circuits"]] == [0]
    assert (out / result["circuits"][0]["file"]).is_file()


def test_a_method_that_raises_on_one_task_leaves_the_others_their_verdicts(suite):
    args = ("--method", "plugins.py:HatesPronouns", "--seeds", "1")
    code, result, _ = run(suite(tasks="pronoun, questions", checks="layernorm"), *args)
    assert code == 3
    assert verdicts(result) == {"sufficiency": "ERROR", "layernorm": "ERROR"}
    assert verdicts(result, "questions") == {"sufficiency": "FAIL", "layernorm": "PASS"}
    assert {circuit["task"] for circuit in result["circuits"]} == {"questions"}


def test_a_method_that_cannot_be_built_is_one_line_and_exit_3(suite, capsys):
    code, _, _ = run(suite(), "--method", "plugins.py:CannotBeBuilt")
    error = capsys.readouterr().err
    assert code == 3
    assert "RuntimeError: no licence" in error
    assert "Traceback" not in error


def test_a_plugin_that_ends_the_process_where_it_is_imported_is_one_line_and_exit_3(suite, capsys):
    path = suite()
    (path.parent / "dies.py").write_text("import os\nos._exit(0)\n")
    code, _, _ = run(path, "--method", "dies.py:Method")
    assert (code, capsys.readouterr().err.count("\n")) == (3, 1)


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("BadCheck", "KeyError"),
        ("InterruptingCheck", "raised KeyboardInterrupt"),
        ("DyingCheck", "called os._exit(0)"),
        ("OddCheck", "raised Odd"),
        ("BadControls", "KeyError"),
        ("DoesNotMeasure", "did not measure number"),
        ("WithoutGates", "check bad_check has no gate"),
        ("BadSentence", "IndexError: no words"),
        ("BadEvidence", "TypeError: evidence"),
    ],
)
def test_a_check_that_raises_is_an_error_and_the_other_checks_go_on(suite, check, reason):
    code, result, out = run(suite(checks=f"plugins.py:{check}, layernorm"), "--method", "full", "--seeds", "1")
    assert code == 3
    assert verdicts(result) == {"sufficiency": "FAIL", "bad_check": "ERROR", "layernorm": "PASS"}
    [error] = [entry for entry in result["checks"] if entry["verdict"] == "ERROR"]
    assert reason in error["reason"]
    assert "Traceback" in (out / error["details"]).read_text()


SHARED = "logits, activations or other numbers that checks share"
TOUCHED = {
    "TouchesModel": "the model",
    "TouchesPrompts": "the prompts",
    "TouchesVariables": "the prompts",
    "TouchesCircuit": "the circuit",
    "TouchesLogits": SHARED,
    "TouchesActivations": SHARED,
    "TouchesFreshActivations": SHARED,
    "TouchesByNumpy": SHARED,
    "TouchesImportance": SHARED,
    "TouchesScales": SHARED,
    "TouchesSites": "the sites or norms of the model",
}


@pytest.mark.parametrize("check", TOUCHED)
def test_a_check_that_changes_what_it_was_lent_is_an_error_and_no_check_after_it_has_a_verdict(suite, check):
    checks = f"node_roles, plugins.py:{check}, layernorm"
    code, result, _ = run(suite(checks=checks), "--method", "full", "--seeds", "1")
    assert code == 3
    found = verdicts(result)
    assert found == {"sufficiency": "FAIL", "node_roles": "PASS", "bad_check": "ERROR", "layernorm": "ERROR"}
    reason = f"the check bad_check changed {TOUCHED[check]}; nothing after it can be judged on this task"
    assert {c["reason"] for c in result["checks"] if c["verdict"] == "ERROR"} == {reason}


@pytest.mark.parametrize(
    ("check", "what"), [("TouchesSites", "the sites or norms of the model"), ("TouchesModel", "the model")]
)
def test_a_check_that_changes_the_model_leaves_no_task_after_it_a_verdict(suite, check, what):
    path = suite(tasks="questions, pronoun", checks=f"plugins.py:{check}")
    code, result, _ = run(path, "--method", "full", "--seeds", "1")
    assert code == 3
    assert verdicts(result, "questions") == {"sufficiency": "FAIL", "bad_check": "ERROR"}
    reason = f"{what} was changed on an earlier task; nothing after it can be judged"
    assert {c["reason"] for c in result["checks"] if c["task"] == "pronoun"} == {reason}
    assert {circuit["task"] for circuit in result["circuits"]} == {"questions"}


def test_a_check_that_changes_the_prompts_when_asked_for_controls_is_an_error(suite):
    checks = "layernorm, plugins.py:RelabelsInControls"
    code, result, _ = run(suite(checks=checks), "--method", "full", "--seeds", "1")
    assert (code, set(verdicts(result).values()), result["circuits"]) == (3, {"ERROR"}, [])
    assert "the check bad_check changed the prompts" in result["checks"][0]["reason"]


def test_a_check_that_hangs_when_asked_for_controls_is_stopped(suite):
    args = ("--method", "full", "--seeds", "1", "--set", "time_limit=2")
    code, result, _ = run(suite(checks="layernorm, plugins.py:HangsInControls"), *args)
    assert (code, verdicts(result)) == (3, {"sufficiency": "FAIL", "layernorm": "PASS", "bad_check": "ERROR"})
    assert "took longer than its 2 seconds" in result["checks"][-1]["reason"]


def test_a_check_that_changes_the_prompts_of_a_task_leaves_the_other_task_its_verdicts(suite):
    path = suite(tasks="questions, pronoun", checks="layernorm, plugins.py:TouchesPrompts")
    code, result, _ = run(path, "--method", "full", "--seeds", "1")
    assert code == 3
    for task in ("questions", "pronoun"):
        assert verdicts(result, task) == {"sufficiency": "FAIL", "layernorm": "PASS", "bad_check": "ERROR"}


def test_gradients_are_on_whatever_the_caller_or_another_plugin_left(suite):
    path = suite(checks="node_roles, plugins.py:TurnsGradientsOff, attention_agreement")
    with torch.no_grad():
        _, result, _ = run(path, "--method", "attribution", "--seeds", "1")
        assert not torch.is_grad_enabled()
    assert "ERROR" not in verdicts(result).values(), result["checks"]


def test_evidence_that_shares_memory_is_saved(suite):
    code, result, _ = run(suite(checks="plugins.py:SharesMemory"), "--method", "full", "--seeds", "2")
    assert (code, verdicts(result)["bad_check"]) == (1, "PASS")


@pytest.mark.parametrize(
    ("args", "setting"),
    [
        (["--seeds", "1"], ("seeds", 1)),
        (["--set", "seeds=1"], ("seeds", 1)),
        (["--model", "stories-tiny"], ("seeds", 2)),
    ],
)
def test_what_the_command_line_says_is_in_the_result(suite, args, setting):
    _, result, _ = run(suite(checks="sufficiency"), "--method", "full", *args)
    key, value = setting
    assert result["suite"][key] == value
    assert len(result["circuits"]) == result["suite"]["seeds"]


def test_the_model_named_on_the_command_line_is_the_one_that_runs(suite):
    path = suite(checks="sufficiency")
    path.write_text(path.read_text().replace("stories-tiny", "stories-sparse"))
    _, result, _ = run(path, "--method", "full", "--seeds", "1", "--model", "stories-tiny")
    assert (result["model"]["name"], result["suite"]["model"]) == ("stories-tiny", "stories-tiny")


def test_the_output_folder_is_named_after_suite_and_method_where_none_is_given(suite, monkeypatch):
    path = suite(checks="sufficiency")
    monkeypatch.chdir(path.parent)
    assert main(["run", "mine.yaml", "--method", "full", "--seeds", "1"]) == 1
    assert (path.parent / "faithcheck-results" / "mine-full" / "result.json").is_file()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_refused(suite, capsys):
    code, result, _ = run(suite(), "--device", "cuda")
    assert (code, result) == (2, None)
    assert "no GPU" in capsys.readouterr().err


def test_the_circuits_of_a_task_and_what_its_model_did_are_let_go_before_the_next_is_tested(suite, monkeypatch):
    seen, captured, measure = [], [], Sufficiency.measure

    def watched(self, subject):
        gc.collect()
        alive = {one().bench.task.name for one in seen if one() is not None}
        assert alive <= {subject.bench.task.name}
        assert not [one for one in captured if one() is not None]
        seen.append(weakref.ref(subject))
        captured.extend(map(weakref.ref, subject.bench.model_run("test").captured.values()))
        return measure(self, subject)

    monkeypatch.setattr(Sufficiency, "measure", watched)
    code, result, _ = run(suite(tasks="pronoun, questions", checks="sufficiency"), "--method", "full")
    assert (code, len(seen), bool(captured)) == (1, 2, True)
    assert "ERROR" not in {check["verdict"] for check in result["checks"]}
