"""`faithcheck run` on claims: each is tested again, and what no longer holds is said in a sentence."""

from __future__ import annotations

import json

import pytest
import torch
from claiming import HOLDING, all_nodes, content, folder_of, run, tiny

from faithcheck.ablation import Ablation
from faithcheck.bundled import bundled_dir
from faithcheck.circuit import Circuit, save_circuit
from faithcheck.report.reading import load_result


@pytest.fixture
def judged(tmp_path, capsys):
    """Runs a folder of claims; the exit code and what was printed, in one line."""

    def of(*args, folder=None, **claims):
        folder = folder or folder_of(tmp_path, **claims)
        code = run(folder, tmp_path / "out", *args)
        return code, " ".join(capsys.readouterr().out.split())

    return of


def test_a_claim_that_holds_is_exit_code_0_and_its_result_says_so(judged, tmp_path):
    code, said = judged(true=content())
    assert code == 0, said
    assert "1 of 1 claim held" in said
    result = load_result(tmp_path / "out" / "true").data
    assert (result.claim.text, result.claim.holds, result.claim.verdicts) == ("All nodes do the task", True, HOLDING)
    assert result.claim.file == str(tmp_path / "claims" / "true.yaml")
    assert result.verdict == "FAIL", "the verdict is the circuit's, whatever was claimed"
    assert result.model.name == "stories-tiny"


def test_a_claim_about_a_circuit_that_its_test_would_remove_cannot_be_tested_and_loses_nothing(judged, tmp_path):
    folder = folder_of(tmp_path, true=content())
    assert judged(folder=folder)[0] == 0
    own = content(circuit="../out/true/circuits/pronoun-given.safetensors")
    (folder / "true.yaml").write_text(json.dumps(own))
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    code, said = judged("--report", "html", folder=folder)
    assert code == 2
    assert "pronoun-given.safetensors is of the results in" in said
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_only_claimed_checks_run_and_sufficiency_which_always_does(judged, tmp_path):
    code, _ = judged(true=content(verdicts={"layernorm": "PASS"}))
    assert code == 0
    assert [check.check for check in load_result(tmp_path / "out" / "true").data.checks] == ["sufficiency", "layernorm"]


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ({"sufficiency": "PASS"}, "sufficiency: PASS was claimed, FAIL found, which is worse: the circuit keeps 100"),
        ({"sufficiency": "INCONCLUSIVE"}, "sufficiency: INCONCLUSIVE was claimed, FAIL found, which is worse"),
        ({"layernorm": "FAIL"}, "layernorm: FAIL was claimed, PASS found, which is better than claimed"),
        ({"layernorm": "INCONCLUSIVE"}, "layernorm: INCONCLUSIVE was claimed, PASS found, which is better"),
    ],
)
def test_a_claim_whose_verdict_changed_either_way_is_exit_code_1_with_a_sentence(judged, tmp_path, verdicts, sentence):
    code, said = judged(changed=content(verdicts={**HOLDING, **verdicts}))
    assert code == 1
    assert sentence in said
    [found] = load_result(tmp_path / "out" / "changed").data.claim.objections
    text = (tmp_path / "claims" / "changed.yaml").read_text().splitlines()
    assert next(iter(verdicts)) in text[found.line - 1]


def test_a_claimed_pass_that_comes_out_inconclusive_does_not_hold_and_inconclusive_can_be_claimed(judged):
    claims = {verdict: content(verdicts={"generalization": verdict}) for verdict in ("PASS", "INCONCLUSIVE")}
    code, said = judged(**claims)
    assert code == 1
    assert "generalization: PASS was claimed, INCONCLUSIVE found, which is worse" in said
    assert "1 of 2 claims held" in said


def tampered(folder):
    keep = {site: kept.clone() for site, kept in all_nodes().keep.items()}
    keep["0.attn_in"][3] = False
    save_circuit(folder / "all.safetensors", Circuit(keep, provenance={"task": "pronoun"}))
    return {}, 1, "the circuit in all.safetensors is not the one claimed: its identity is"


def other_ablation(folder):
    means = {site: torch.zeros(len(kept)) for site, kept in all_nodes().keep.items()}
    save_circuit(folder / "all.safetensors", Circuit(all_nodes().keep, Ablation("mean", means)))
    return {}, 1, "the circuit in all.safetensors is not the one claimed: its identity is"


def flipped_byte(folder):
    file = folder / "all.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    return {}, 1, "the circuit in all.safetensors is not the one claimed: its identity is"


def damaged(folder):
    (folder / "all.safetensors").write_bytes(b"not a circuit")
    return {}, 1, "the circuit file all.safetensors is damaged: cannot read the circuit"


def missing(folder):
    (folder / "all.safetensors").rename(folder / "al.safetensors")
    return {}, 2, "circuit: no such file: all.safetensors; did you mean 'al.safetensors'?"


def other_model(folder):
    (folder / "models.py").write_text(
        "from faithcheck import load_model\ndef changed(device):\n    return load_model('stories-tiny').shuffled(1)\n"
    )
    return {"model": "models.py:changed"}, 1, "is not the one claimed: its fingerprint is"


def larger_model(folder):
    return {"model": "stories-sparse"}, 1, "the model stories-sparse is not the one claimed: its fingerprint is"


def other_task(folder):
    text = (bundled_dir() / "tasks" / "pronoun.yaml").read_text()
    (folder / "suites" / "pronoun.yaml").write_text(text.replace("about: ", "about: changed, "))
    return {"task": "suites/pronoun.yaml"}, 1, "the task pronoun is not the one claimed: its content has the SHA-256"


def missing_task(folder):
    return {"task": "gone.yaml"}, 2, "task: no such file: gone.yaml"


def missing_suite(folder):
    return {"suite": "suites/owm.yaml"}, 2, "suite: no such file: suites/owm.yaml; did you mean 'own.yaml'?"


def missing_model(folder):
    return {"model": "models.py:gone"}, 2, "no such file: models.py"


def another_task_than_the_circuits(folder):
    return {"task": "ioi", "task_sha256": None}, 2, "the circuit is about the task 'pronoun'; the suite has ioi"


@pytest.mark.parametrize(
    "change",
    [
        tampered,
        other_ablation,
        flipped_byte,
        damaged,
        missing,
        other_model,
        larger_model,
        other_task,
        missing_task,
        missing_suite,
        missing_model,
        another_task_than_the_circuits,
    ],
)
def test_what_is_not_what_was_claimed_is_said_by_name_and_nothing_of_an_earlier_run_is_left(judged, tmp_path, change):
    folder = folder_of(tmp_path)
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "result.json").write_text(
        '{"schema": "faithcheck.result/1", "circuits": [], "checks": []}'
    )
    keys, expected, sentence = change(folder)
    (folder / "a.yaml").write_text(json.dumps(content(**keys), indent=1))
    code, said = judged(folder=folder)
    assert code == expected
    assert sentence in said
    assert not (tmp_path / "out" / "a" / "result.json").exists()


def test_all_that_changed_is_said_at_once(judged, tmp_path):
    folder = folder_of(tmp_path)
    tampered(folder)
    (folder / "a.yaml").write_text(json.dumps(content(fingerprint="0" * 64, task_sha256="0" * 64)))
    code, said = judged(folder=folder)
    assert code == 1
    assert all(what in said for what in ("the circuit in all.saf", "the model stories-tiny", "the task pronoun"))
    assert tiny().fingerprint in said, "what to write where the change is meant"


def test_without_its_hash_a_task_may_change(judged, tmp_path):
    folder = folder_of(tmp_path)
    keys, _, _ = other_task(folder)
    (folder / "a.yaml").write_text(json.dumps(content(**keys, task_sha256=None, verdicts={"layernorm": "PASS"})))
    assert judged(folder=folder)[0] == 0


def test_the_other_claims_are_tested_whatever_comes_of_one(judged, tmp_path):
    raising = content(verdicts={"checks.py:Raises": "PASS"})
    code, said = judged(
        a=content(verdicts={"sufficiency": "PASS"}), b="{", c=content(circuit="gone"), d=content(), e=raising
    )
    assert code == 2, "2 comes before 3 and 1"
    assert "1 of 5 claims held" in said
    assert "checks.py:Raises: the check raised" in said
    assert load_result(tmp_path / "out" / "d").data.claim.holds
    assert not load_result(tmp_path / "out" / "e").data.claim.holds


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"a": {"verdicts": {"checks.py:Raises": "PASS"}}, "b": {"verdicts": {"sufficiency": "PASS"}}}, 3),
        ({"a": {"verdicts": {"sufficiency": "PASS"}}, "b": {}}, 1),
    ],
)
def test_the_exit_code_is_the_first_that_holds_of_130_2_3_1_0(judged, claims, expected):
    assert judged(**{name: content(**keys) for name, keys in claims.items()})[0] == expected


def test_after_ctrl_c_no_more_claims_are_tested_and_what_was_finished_is_kept(judged, tmp_path):
    stopped = content(verdicts={"layernorm": "PASS", "checks.py:Interrupts": "PASS"})
    code, said = judged(a=content(verdicts={"layernorm": "PASS"}), b=stopped, c=content())
    assert code == 130
    assert "1 of 2 claims held" in said
    assert "what was finished is kept" in said
    assert load_result(tmp_path / "out" / "a").data.claim.holds
    kept = load_result(tmp_path / "out" / "b").data
    assert kept.interrupted
    assert [check.check for check in kept.checks] == ["sufficiency", "layernorm"]
    assert not (tmp_path / "out" / "c").exists()


@pytest.mark.parametrize(
    ("raised", "code", "words"), [(KeyboardInterrupt, 130, "before anything"), (ValueError, 3, "")]
)
def test_what_is_raised_outside_of_a_run_is_the_outcome_of_that_claim(judged, monkeypatch, raised, code, words):
    def stopped(name, *_):
        raise raised("" if raised is KeyboardInterrupt else "a bug")

    monkeypatch.setattr("faithcheck.claims.command.retest", stopped)
    found, said = judged(a=content(), b=content())
    assert found == code
    assert words in said
    assert f"0 of {1 if raised is KeyboardInterrupt else 2} claim" in said


def test_hostile_text_is_shown_as_text(judged):
    hostile = "[bold]x[/bold] <b>&amp;</b> \u202e\u200f \x1b[31m \" ' %s {}"
    code, said = judged(a=content(claim=hostile, verdicts={"sufficiency": "PASS"}))
    assert code == 1
    assert "[bold]x[/bold] <b>&amp;</b>" in said
    assert "\\u202e\\u200f" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "option",
    [
        ["--set", "target_loss=9"],
        ["--model", "stories-tiny"],
        ["--method", "full"],
        ["--circuit", "x"],
        ["--seeds", "2"],
        ["--seeds", "0"],
        ["--model", ""],
        ["--allow-inconclusive"],
    ],
)
def test_an_option_that_would_test_something_else_is_refused(tmp_path, capsys, option):
    assert run(folder_of(tmp_path, a=content()), tmp_path / "out", *option) == 2
    assert f"{option[0]}: a claim says itself" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_gives_all_its_claims_by_path_and_passes_over_suites_and_tasks(tmp_path, capsys):
    folder = folder_of(tmp_path)
    (folder / "suites" / "task.yaml").write_text((bundled_dir() / "tasks" / "pronoun.yaml").read_text())
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.yaml").write_text("verdicts: {}")
    (folder / "deep").mkdir()
    for file in ("a.yml", "deep/b.yaml"):
        (folder / file).write_text(json.dumps(content(identity="0" * 64, circuit=str(folder / "all.safetensors"))))
    (folder / "deep" / "b.yaml").write_text("claim: nothing else")
    assert run(folder, tmp_path / "out") == 2
    said = capsys.readouterr()
    assert "claim a\n" in said.err
    assert "claim deep/b\n" in said.err
    assert "0 of 2 claims held" in said.out


def test_a_yaml_file_that_is_nothing_we_know_is_no_claim_that_is_passed_over(tmp_path, capsys):
    keys = content()
    keys["verdict"] = keys.pop("verdicts")
    del keys["claim"]
    folder = folder_of(tmp_path, slip=keys)
    assert run(folder, tmp_path / "out") == 2
    assert "verdict: unknown key; allowed: faithcheck, claim, circuit" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["faithcheck_task", "checks"])
def test_a_claim_with_a_key_of_another_kind_of_file_is_not_passed_over(judged, key):
    code, said = judged(a={**content(), key: 1})
    assert code == 2
    assert f"{key}: unknown key" in said


def test_a_link_that_leads_nowhere_and_a_name_in_capitals_are_claims_that_are_refused(judged, tmp_path):
    folder = folder_of(tmp_path)
    (folder / "a.yaml").symlink_to("gone.yaml")
    (folder / "b.YAML").write_text("claim: nothing else")
    code, said = judged(folder=folder)
    assert code == 2
    assert "cannot be tested a no such file" in said
    assert "0 of 2 claims held" in said


@pytest.mark.parametrize(
    ("files", "message"),
    [((), "no claim in this folder"), (("a.yaml", "a.yml"), "two claims are called 'a': a.yaml and a.yml")],
)
def test_a_folder_that_is_no_folder_of_claims_is_refused(tmp_path, capsys, files, message):
    for file in files:
        (tmp_path / file).write_text("verdicts: {}")
    assert run(tmp_path, tmp_path / "out") == 2
    assert message in capsys.readouterr().err


def test_a_folder_called_like_a_bundled_suite_does_not_hide_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "quick").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run("quick", tmp_path / "out", "--set", "tasks=[nope]") == 2
    assert "unknown task 'nope'" in capsys.readouterr().err
