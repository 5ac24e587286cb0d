"""`faithcheck init` writes what works at once, and overwrites nothing."""

from __future__ import annotations

import ast
import json
import shlex
import zipfile

import pytest
import yaml
from outside import faithcheck, install, python
from test_startup import slow_imports

from faithcheck import load_model, load_task
from faithcheck.bundled import bundled_dir
from faithcheck.cli import main
from faithcheck.prompts import encode
from faithcheck.scaffold.names import class_name
from faithcheck.suite import Suite
from faithcheck.task_spec import TaskSpec


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def init(*args):
    assert main(["init", *args]) == 0


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refused(capsys, *args):
    capsys.readouterr()
    assert main(["init", *args]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) <= 2
    return error


@pytest.mark.parametrize("name", ["my_method", "my-method"])
def test_a_method_is_a_package_of_four_files(tmp_path, name):
    init("method", name)
    assert files(tmp_path) == [
        "my_method/README.md",
        "my_method/pyproject.toml",
        "my_method/src/my_method.py",
        "my_method/tests/test_my_method.py",
    ]
    module = ast.parse((tmp_path / "my_method/src/my_method.py").read_text())
    assert [node.name for node in module.body if isinstance(node, ast.ClassDef)] == ["MyMethod"]


def test_what_was_written_is_said_and_the_next_commands_parse(tmp_path, capsys):
    folder = tmp_path / "a folder"
    init("method", "mine", "--dir", str(folder))
    told = capsys.readouterr().out.split("next:\n")
    assert [line.removeprefix(f"wrote {folder}/") for line in told[0].splitlines()] == files(folder)
    commands = [shlex.split(line, comments=True) for line in told[1].splitlines()]
    assert [command[0] for command in commands] == ["faithcheck", "pip", "pytest", "faithcheck"]
    assert commands[0][-1] == f"{folder}/mine/src/mine.py:Mine"
    assert commands[1][-1] == str(folder / "mine")


BAD_NAMES = {
    "": "allowed are",
    "a b": "allowed are",
    "1x": "allowed are",
    "_x": "allowed are",
    "x_": "allowed are",
    "-x": "allowed are",
    "../x": "allowed are",
    "x/y": "allowed are",
    "x.y": "allowed are",
    "méthode": "allowed are",
    "x" * 61: "allowed are",
    "x\n": "allowed are",
    "{{x}}": "allowed are",
    "class": "Python keeps that word",
    "none": "Python keeps that word",
    "problem": "its class would be called Problem",
    "node-scores": "its class would be called NodeScores",
    "sparse_prune": "faithcheck/sparse_prune is installed",
    "sparse-prune": "faithcheck/sparse_prune is installed",
    "Sparse_Prune": "faithcheck/sparse_prune is installed",
    "json": "would hide the Python module",
    "torch": "would hide the Python module",
    "faithcheck": "would hide the Python module",
    "typing-inspection": "would hide the Python module",
    "pytest-xdist": "a package called pytest-xdist is installed",
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_cannot_be_a_methods_is_refused(tmp_path, capsys, name):
    error = refused(capsys, "method", "--", name)
    assert f"method name {name.replace('-', '_')!r}" in error or f"method name {name!r}" in error
    assert BAD_NAMES[name] in error
    assert files(tmp_path) == []


@pytest.mark.parametrize("kind", ["suite", "task"])
@pytest.mark.parametrize("name", ["", "../x", "a b", "x.yaml", "1x"])
def test_a_name_that_cannot_be_a_files_is_refused(tmp_path, capsys, kind, name):
    assert "allowed are" in refused(capsys, kind, name)
    assert files(tmp_path) == []


@pytest.mark.parametrize(("kind", "name"), [("suite", "quick"), ("task", "pronoun")])
def test_the_name_of_what_comes_with_faithcheck_is_refused(tmp_path, capsys, kind, name):
    assert "comes with faithcheck" in refused(capsys, kind, name)
    assert files(tmp_path) == []


@pytest.mark.parametrize("kind", ["method", "suite", "task"])
def test_nothing_is_overwritten(tmp_path, capsys, kind):
    init(kind, "mine")
    before = {path: (tmp_path / path).read_bytes() for path in files(tmp_path)}
    assert "nothing is overwritten" in refused(capsys, kind, "mine")
    assert {path: (tmp_path / path).read_bytes() for path in files(tmp_path)} == before


def test_a_folder_with_anything_in_it_is_left_alone_and_an_empty_one_is_used(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "yours").mkdir()
    (tmp_path / "yours" / "notes.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    assert "nothing is overwritten" in refused(capsys, "method", "yours")
    assert "nothing is overwritten" in refused(capsys, "method", "file")
    init("method", "mine")
    assert files(tmp_path / "yours") == ["notes.txt"]


@pytest.mark.parametrize("kind", ["method", "suite"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, capsys, kind):
    (tmp_path / "file").write_text("x")
    assert "file" in refused(capsys, kind, "mine", "--dir", str(tmp_path / "file"))


@pytest.mark.parametrize(("name", "expected"), [("my_method", "MyMethod"), ("x__y2", "XY2"), ("ACDC", "ACDC")])
def test_the_class_is_called_after_the_method(name, expected):
    assert class_name(name) == expected


def test_a_new_suite_has_every_key_is_valid_and_runs(tmp_path, capsys):
    init("suite", "mine")
    data = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    assert set(data) == set(Suite.model_fields)
    assert data["name"] == "mine"
    assert main(["validate", "mine.yaml"]) == 0
    assert main(["run", "mine.yaml", "--seeds", "1", "--method", "random", "--out", "out"]) in (0, 1, 4)


def test_a_new_task_has_every_key_is_shown_and_fits_the_bundled_models(tmp_path, capsys):
    init("task", "mine")
    assert set(yaml.safe_load((tmp_path / "mine.yaml").read_text())) == set(TaskSpec.model_fields)
    assert main(["show", "mine.yaml"]) == 0
    task = load_task("mine.yaml")
    tokenizer = load_model("stories-tiny").tokenizer
    counts = {split: len(encode(task, split, tokenizer)) for split in (*task.splits, *task.shifts)}
    assert counts["test"] >= 200
    assert len(task.prompts("test")) == counts["test"]
    assert len({prompt.unit for prompt in task.prompts("test")}) >= 20
    model, prompts = load_model("stories-sparse"), encode(task, "test", tokenizer)
    logits = model.run(prompts.tokens, positions=prompts.positions).logits[0]
    assert (logits.argmax(-1) == prompts.targets).double().mean() > 0.95


def test_a_new_task_can_be_run_from_where_it_was_written(tmp_path, capsys):
    init("task", "mine", "--dir", "tasks_of_mine")
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert command[:2] == ["faithcheck", "run"]
    more = ["--method", "random", "--seeds", "1", "--out", "out"]
    assert main([*command[1:], *more]) in (0, 1, 4)
    assert json.loads((tmp_path / "out/result.json").read_text())["circuits"][0]["task"] == "mine"


@pytest.mark.parametrize("kind", ["method", "suite", "task"])
def test_it_does_not_wait_for_the_slow_libraries(kind):
    assert slow_imports(f"from faithcheck.cli import main\nassert main(['init', {kind!r}, 'mine']) == 0") == "SLOW []"


QUICK = ["run", "quick", "--model", "stories-tiny", "--seeds", "1", "--set", "method.prompts=32"]


def test_a_new_method_runs_at_once_and_when_installed_it_passes_its_own_test_and_runs_the_same(tmp_path):
    init("method", "my-method")
    site, project = tmp_path / "site", tmp_path / "my_method"
    install(project, site)
    tested = python(site, "-m", "pytest", "-p", "no:cacheprovider", str(project), cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    loose, installed, shown = faithcheck(
        site,
        tmp_path,
        [*QUICK, "--method", "my_method/src/my_method.py:MyMethod", "--out", "loose"],
        [*QUICK, "--method", "my-method/my_method", "--out", "installed"],
        ["show", "my_method"],
    )
    assert "train prompts to take the gradient on" in shown.out
    results = [json.loads((tmp_path / out / "result.json").read_text()) for out in ("loose", "installed")]
    verdicts = [{check["check"]: check["verdict"] for check in result["checks"]} for result in results]
    assert verdicts[0] == verdicts[1]
    assert set(verdicts[0].values()) <= {"PASS", "FAIL", "INCONCLUSIVE"}
    assert loose.code == installed.code
    assert [circuit["reached"] for circuit in results[1]["circuits"]] == [True]


def test_the_templates_are_in_the_wheel(tmp_path):
    """Of faithcheck itself, as `pip install .` builds it."""
    root = bundled_dir().parent
    if not (root / "pyproject.toml").is_file():
        pytest.skip("faithcheck is installed from a wheel here")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    built = python(tmp_path, "-m", "pip", "wheel", *options, "--wheel-dir", str(tmp_path), str(root))
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    templates = [path.relative_to(root).as_posix() for path in (root / "faithcheck/templates").rglob("*.jinja")]
    assert len(templates) == 7
    assert set(templates) <= inside
