"""Known-bad suites and arguments: exit code 2, where it is wrong, and what was probably meant. Never a traceback."""

from __future__ import annotations

import pytest

from faithcheck.bundled import bundled_dir
from faithcheck.cli import main

GOOD = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun]
method: {name: sparse_prune, steps: 30}
seeds: 1
target_loss: 0.15
checks:
  - sufficiency
  - layernorm: {gates: {frozen_loss: "<= 0.3"}}
"""
# What is replaced in the good suite, by what, the line, and what the error says.
BAD_SUITES = {
    "misspelt key": ("target_loss", "targt_loss", 6, "did you mean 'target_loss'?"),
    "key twice": ("seeds: 1", "seeds: 1\nseeds: 2", 6, "seeds"),
    "text for a number": ("seeds: 1", "seeds: many", 5, "many"),
    "number for a list": ("[pronoun]", "7", 3, "tasks"),
    "no seed": ("seeds: 1", "seeds: 0", 5, "1 or more"),
    "target that is no number": ("0.15", ".inf", 6, "target_loss"),
    "broken syntax": ("[pronoun]", "[pronoun", 4, "expected"),
    "tab": ("seeds: 1", "\tseeds: 1", 5, "tab"),
    "missing key": ("model: stories-tiny\n", "", 1, "model"),
    "no tasks": ("[pronoun]", "[]", 3, "tasks"),
    "another version": ("faithcheck: 1", "faithcheck: 2", 1, "faithcheck"),
    "task twice": ("[pronoun]", "[pronoun, pronoun]", 3, "listed twice"),
    "check twice": ("  - sufficiency\n", "  - layernorm\n", 8, "listed twice"),
    "unknown task": ("[pronoun]", "[pronuon]", 3, "did you mean 'pronoun'?"),
    "unknown check": ("layernorm:", "layernrom:", 9, "did you mean 'layernorm'?"),
    "unknown method": ("sparse_prune", "sparse_prun", 4, "did you mean 'sparse_prune'?"),
    "unknown model": ("stories-tiny", "stories-tinny", 2, "did you mean 'stories-tiny'?"),
    "unknown model loader": ("stories-tiny", "'storeis:x'", 2, "did you mean 'stories'?"),
    "unknown parameter": ("steps", "stepz", 4, "did you mean 'steps'?"),
    "parameter out of range": ("steps: 30", "steps: -1", 4, "more than 0"),
    "parameter of no check": ("{gates: ", "{drawz: 3, gates: ", 9, "drawz"),
    "bad gate": ('"<= 0.3"', '"=< 0.3"', 9, "a gate is OP EXPR"),
    "gate on an unknown name": ('"<= 0.3"', '"<= target_los"', 9, "target_los"),
    "gate that is no text": ('"<= 0.3"', "0.3", 9, "frozen_loss"),
    "unknown gate metric": ("frozen_loss", "frozen_los", 9, "did you mean 'frozen_loss'?"),
    "unknown ablation": ("seeds: 1", "seeds: 1\nablation: median", 6, "median"),
    "method file that is missing": ("{name: sparse_prune, steps: 30}", '"gone.py:Method"', 4, "gone.py"),
    "check file that is missing": ("- sufficiency", '- "gone.py:Check"', 8, "gone.py"),
}


def refused(capsys, *args):
    """The error of a command that must exit 2."""
    capsys.readouterr()
    try:
        code = main([str(arg) for arg in args])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err.strip()
    assert code == 2
    assert "Traceback" not in error
    assert error
    return error


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize("case", BAD_SUITES)
def test_a_bad_suite_is_refused_where_it_is_wrong(tmp_path, capsys, monkeypatch, command, case):
    old, new, line, fragment = BAD_SUITES[case]
    assert old in GOOD
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(GOOD.replace(old, new))
    error = refused(capsys, command, "bad.yaml")
    assert f"bad.yaml:{line}:" in error
    assert fragment in error
    assert len(error.splitlines()) <= 2
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_the_good_suite_is_valid(tmp_path, capsys):
    (tmp_path / "good.yaml").write_text(GOOD)
    assert main(["validate", str(tmp_path / "good.yaml")]) == 0
    assert "valid" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize(
    ("suite", "fragment"),
    [
        ("defualt", "did you mean 'default'?"),
        ("gone.yaml", "gone.yaml: no such file"),
        ("goood.yaml", "did you mean 'good.yaml'?"),
        ("folder.yaml", "folder.yaml"),
        ("binary.yaml", "binary.yaml"),
        ("empty.yaml", "empty.yaml"),
        ("list.yaml", "list.yaml"),
    ],
)
def test_what_is_no_suite_is_refused_by_name(tmp_path, capsys, monkeypatch, command, suite, fragment):
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    monkeypatch.chdir(tmp_path)
    error = refused(capsys, command, suite)
    assert fragment in error
    assert len(error.splitlines()) <= 5


BAD_ARGUMENTS = {
    "unknown method": (["--method", "sparse_prun"], "did you mean 'sparse_prune'?"),
    "unknown model": (["--model", "stories-tinny"], "did you mean 'stories-tiny'?"),
    "model loader without a file": (["--model", "stories"], "stories"),
    "model file that is missing": (["--model", "stories:gone.safetensors"], "gone.safetensors"),
    "unknown loader": (["--model", "lenz:gpt2"], "unknown model 'lenz'"),
    "method file that is missing": (["--method", "gone.py:Method"], "no such file: gone.py"),
    "method file without a name": (["--method", "gone.py"], "expected path/to/file.py:NAME"),
    "no value to set": (["--set", "seeds"], "expected KEY=VALUE"),
    "unknown key to set": (["--set", "targt_loss=1"], "did you mean 'target_loss'?"),
    "unknown check to set": (["--set", "checks.layernrom.gates.frozen_loss=<= 1"], "did you mean 'layernorm'?"),
    "unknown metric to set": (["--set", "checks.layernorm.gates.frozen_los=<= 1"], "did you mean 'frozen_loss'?"),
    "bad gate to set": (["--set", "checks.layernorm.gates.frozen_loss=cheap"], "a gate is OP EXPR"),
    "unknown parameter to set": (["--set", "method.stepz=1"], "did you mean 'steps'?"),
    "bad value to set": (["--set", "seeds=some"], "seeds"),
    "no seeds": (["--seeds", "0"], "--seeds"),
    "fewer than no seeds": (["--seeds", "-1"], "--seeds"),
    "seeds in words": (["--seeds", "two"], "--seeds"),
    "unknown device": (["--device", "tpu"], "'auto', 'cpu', 'cuda'"),
    "unknown option": (["--frobnicate"], "--frobnicate"),
    "circuit that is missing": (["--circuit", "gone.safetensors"], "gone.safetensors"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_a_bad_argument_is_refused_by_name(tmp_path, capsys, monkeypatch, case):
    args, fragment = BAD_ARGUMENTS[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(GOOD)
    error = refused(capsys, "run", "good.yaml", *args)
    assert fragment in error
    assert [path.name for path in tmp_path.iterdir()] == ["good.yaml"]


@pytest.mark.parametrize(
    "args",
    [[], ["run"], ["validate"], ["train"], ["frobnicate"], ["list", "frobs"], ["run", "a", "b"], ["--frobnicate"]],
    ids=" ".join,
)
def test_a_command_that_is_not_one_is_refused_with_its_usage(capsys, args):
    assert "usage: faithcheck" in refused(capsys, *args)


def test_a_suite_without_a_method_asks_for_one(tmp_path, capsys):
    (tmp_path / "bare.yaml").write_text(GOOD.replace("method: {name: sparse_prune, steps: 30}\n", ""))
    assert "--method" in refused(capsys, "run", tmp_path / "bare.yaml")


def test_everything_wrong_with_a_suite_is_said_at_once(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text(GOOD.replace("seeds: 1", "seeds: 0").replace("0.15", "-1"))
    error = refused(capsys, "validate", tmp_path / "bad.yaml")
    assert "bad.yaml:5:" in error
    assert "bad.yaml:6:" in error


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_plugin_that_cannot_be_imported_exits_3_in_one_line(tmp_path, capsys, command):
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "mine.yaml").write_text(GOOD.replace("{name: sparse_prune, steps: 30}", '"broken.py:Method"'))
    assert main([command, str(tmp_path / "mine.yaml")]) == 3
    error = capsys.readouterr().err.strip()
    assert "nowhere_to_be_found" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize("what", ["3", "object()", "type('X', (), {})"])
def test_a_check_that_is_none_is_refused_without_a_traceback(tmp_path, capsys, command, what):
    (tmp_path / "odd.py").write_text(f"Check = {what}\n")
    (tmp_path / "mine.yaml").write_text(GOOD.replace("- sufficiency", '- "odd.py:Check"'))
    assert main([command, str(tmp_path / "mine.yaml")]) in (2, 3)
    error = capsys.readouterr().err.strip()
    assert "odd.py:Check" in error
    assert len(error.splitlines()) <= 2


def test_two_tasks_of_one_name_are_refused_for_their_files_would_overwrite_each_other(tmp_path, capsys):
    text = (bundled_dir() / "tasks" / "pronoun.yaml").read_text()
    (tmp_path / "copy.yaml").write_text(text)
    (tmp_path / "mine.yaml").write_text(GOOD.replace("[pronoun]", "[pronoun, copy.yaml]"))
    error = refused(capsys, "validate", tmp_path / "mine.yaml")
    assert "mine.yaml:3:" in error
    assert "pronoun" in error


def test_a_suite_whose_name_leaves_the_output_folder_is_refused(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(GOOD + "name: ../../mine\n")
    assert "mine.yaml:10:" in refused(capsys, "validate", tmp_path / "mine.yaml")
