"""A claim's file: what is wrong with it is said with file, line, key, what is allowed and the nearest name."""

from __future__ import annotations

import json

import pytest
from claiming import content, folder_of
from test_startup import slow_imports

from faithcheck.bundled import bundled_dir
from faithcheck.cli import main


@pytest.fixture
def refused(tmp_path, capsys):
    """Validates a claim with these changes; what it is refused with."""

    def of(**changes):
        folder = folder_of(tmp_path, bad=content(**changes))
        assert main(["validate", str(folder / "bad.yaml")]) == 2
        error = capsys.readouterr().err
        assert f"{folder / 'bad.yaml'}:" in error
        return error

    return of


BAD = {
    "a version that is not known": ({"faithcheck": 2}, "bad.yaml:2: faithcheck: found 2; allowed: 1"),
    "no text": ({"claim": ""}, "bad.yaml:3: claim: found ''; allowed: text of 1 characters or more"),
    "an unknown key": ({"verdct": {}}, "verdct: unknown key"),
    "the nearest key": ({"verdct": {}}, "did you mean 'verdicts'?"),
    "a key that is missing": ({"identity": None}, "identity: missing"),
    "an identity that is none": ({"identity": "9e3a"}, "identity: found '9e3a'; allowed: text that matches ^[0-9a-f]"),
    "a number for a hash": ({"fingerprint": 12}, "fingerprint: found 12; allowed: text"),
    "no verdicts": ({"verdicts": {}}, "verdicts: found keys and values (empty); allowed: 1 or more"),
    "a verdict that is none": (
        {"verdicts": {"layernorm": "pass"}},
        "verdicts.layernorm: found 'pass'; allowed: 'PASS'",
    ),
    "the nearest verdict": ({"verdicts": {"layernorm": "pass"}}, "did you mean 'PASS'?"),
    "a verdict that nobody claims": ({"verdicts": {"layernorm": "ERROR"}}, "found 'ERROR'; allowed: 'PASS', 'FAIL'"),
    "a list of verdicts": ({"verdicts": ["PASS"]}, "verdicts: found a list; allowed: keys and values"),
    "a check that the suite lacks": (
        {"verdicts": {"node_roles": "PASS"}},
        "verdicts.node_roles: the suite has no such check; it has sufficiency, layernorm",
    ),
    "the nearest check": ({"verdicts": {"layer_norm": "PASS"}}, "did you mean 'layernorm'?"),
    "an unknown suite": ({"suite": "qick"}, "suite: unknown suite 'qick'; bundled: default, quick; did you mean"),
    "an unknown task": ({"task": "pronouns"}, "task: unknown task 'pronouns'; tasks: "),
    "an unknown model": ({"model": "stories-tinny"}, "model: unknown model 'stories-tinny'"),
    "a circuit that is missing": ({"circuit": "al.safetensors"}, "did you mean 'all.safetensors'?"),
    "a folder for a circuit": ({"circuit": "suites"}, "circuit: no such file: suites"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_claim_is_refused_with_its_line_and_what_is_allowed(refused, case):
    changes, words = BAD[case]
    error = refused(**changes)
    assert words in error
    assert "Traceback" not in error


def test_all_that_the_schema_refuses_is_said_at_once(refused):
    error = refused(identity=None, claim=3, verdicts={"layernorm": "yes"})
    assert len(error.splitlines()) == 3


def test_validate_takes_several_files_and_folders_and_says_what_each_is(tmp_path, capsys):
    folder = folder_of(tmp_path, good=content())
    task = str(bundled_dir() / "tasks" / "ioi.yaml")
    assert main(["validate", str(folder), "quick", task]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{folder}/good.yaml: valid; claim of 2 verdicts"
    assert said[1].startswith(f"{folder}/suites/own.yaml: valid; 2 tasks, 5 checks, 1 seed")
    assert said[2].endswith("quick.yaml: valid; 1 task, 6 checks, 2 seeds")
    assert said[3] == f"{task}: valid; task ioi with 1 shift"


def test_validate_checks_every_file_whatever_is_wrong_with_the_others(tmp_path, capsys):
    folder = folder_of(tmp_path, bad=content(circuit="gone"), good=content(), worse="a: [")
    assert main(["validate", str(folder), "qick"]) == 2
    said = capsys.readouterr()
    assert "good.yaml: valid" in said.out
    assert all(words in said.err for words in ("no such file: gone", "worse.yaml:1", "unknown suite 'qick'"))


def test_a_plugin_that_cannot_be_imported_is_exit_code_3(tmp_path, capsys):
    folder = folder_of(tmp_path)
    (folder / "suites" / "checks.py").write_text("raise RuntimeError('no')")
    assert main(["validate", str(folder)]) == 3
    assert "cannot be used: RuntimeError: no" in capsys.readouterr().err


def test_a_folder_without_yaml_is_refused(tmp_path, capsys):
    assert main(["validate", str(tmp_path)]) == 2
    assert "no YAML file in this folder" in capsys.readouterr().err


def test_a_claim_is_validated_without_the_slow_libraries(tmp_path):
    keys = content(suite="quick", verdicts={"layernorm": "PASS"})
    folder = folder_of(tmp_path, good=keys)
    command = ["validate", str(folder / "good.yaml")]
    assert slow_imports(f"from faithcheck.cli import main\nassert main({command}) == 0") == "SLOW []"


def test_a_text_that_yaml_would_read_as_a_number_is_a_wrong_identity_and_not_a_crash(tmp_path, capsys):
    digits = "1" * 64
    text = json.dumps(content(identity="X")).replace('"X"', digits)
    folder = folder_of(tmp_path, bad=text)
    assert main(["validate", str(folder / "bad.yaml")]) == 2
    assert "identity: found 1111" in capsys.readouterr().err


def test_show_makes_a_page_of_a_claim(tmp_path, capsys):
    hostile = "[bold]it[/bold] \x1b[31m"
    folder = folder_of(tmp_path, a=content(claim=hostile))
    assert main(["show", str(folder / "a.yaml")]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("stories-tiny", "layernorm", "PASS", content()["identity"]))
    assert "[bold]it[/bold] \\x1b[31m" in said
