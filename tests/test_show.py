"""`faithcheck show` explains whatever a reference stands for, and is safe with whatever that says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
from faithcheck_circuits import bundled
from pydantic import Field
from test_startup import slow_imports

from faithcheck import parameters, plugins
from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.catalogue import KINDS, rows
from faithcheck.cli import main
from faithcheck.show.parameters import parameter_tables
from faithcheck.show.plugin_pages import reflowed

HOSTILE = ["[red]x[/red]", "[/]", ":smile:", "[bold", "\x1b[31mred", "\x1b]0;title\x07", "a\x9b2J"]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def shown(capsys, ref, code=0):
    """What is printed of a reference, each line's white space made one space."""
    capsys.readouterr()
    assert main(["show", str(ref)]) == code
    return "\n".join(" ".join(line.split()) for line in capsys.readouterr().out.splitlines())


def refused(capsys, ref, code=2):
    capsys.readouterr()
    assert main(["show", str(ref)]) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.strip()


LOADED = [("models", "stories-sparse")]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_that_is_listed_can_be_shown(kind, capsys):
    for name, _, _ in rows(kind):
        if (kind, name) not in LOADED:
            assert f"{kind.removesuffix('s')} {name}" in shown(capsys, name)


def test_a_method_is_shown_with_its_place_docstring_and_parameters(capsys):
    text = shown(capsys, "sparse_prune")
    assert "code: faithcheck_circuits.methods.sparse_prune:SparsePrune" in text
    assert "sparse_prune.py" in text
    assert "Gao et al. 2025, appendix A.5" in text
    assert "steps int 300 > 0 optimiser steps per penalty" in text
    assert "beta2 float 0.95 > 0, < 1" in text


@pytest.mark.parametrize("name", [entry.name for entry in plugins.names("checks") if entry.package == "faithcheck"])
def test_a_check_is_shown_with_its_scope_question_gates_and_source(capsys, name):
    check = plugins.load("checks", name)
    text = shown(capsys, name)
    assert f"scope: {check.scope}" in text
    assert f"question: {check.question}" in text
    assert all(f"{metric} {gate}" in text for metric, gate in check.gates.items())
    assert "Source: " in text


def test_a_task_is_shown_with_its_variables_answers_prompts_and_three_of_them(capsys):
    text = shown(capsys, "pronoun")
    assert 'after a "when" clause about one person comes that person\'s pronoun' in text
    assert "name_gender female, male decides the answer" in text
    assert "female she when" in text
    assert "test split 252" in text  # 28 names, 9 actions
    assert "unseen_names shift 180" in text  # 20 names, 9 actions
    prompts = text.split("three of them\n")[1].splitlines()[1:]
    assert [line.split()[-1] for line in prompts] == ["she", "he", "he"]


def test_a_suite_is_shown_with_what_it_runs_and_its_gates_as_numbers(capsys):
    text = shown(capsys, "quick")
    assert "The same checks as the default suite, on one task with two seeds" in text
    for line in (
        "model: stories-sparse",
        "tasks: pronoun",
        "method: sparse_prune",
        "seeds: 2",
        "target loss: 0.15 nats",
    ):
        assert line in text
    assert "layernorm circuit frozen_loss <= 0.25" in text


def test_a_model_is_shown_with_its_sites_and_nodes(capsys):
    text = shown(capsys, "stories-tiny")
    assert "nodes: 1,408" in text
    assert "mlp_neuron 2 512" in text
    assert "optional capabilities: restrict, count_edges, edge_weights, shuffled" in text


def test_a_loader_says_how_it_is_written(capsys):
    assert "written as: stories:PATH" in shown(capsys, "stories")


def test_a_loader_with_a_path_shows_the_model_or_what_is_wrong_with_the_file(capsys, tmp_path):
    weights = Path(bundled.__file__).parent / "stories-tiny.safetensors"
    assert "nodes: 1,408" in shown(capsys, f"stories:{weights}")
    assert "gone.safetensors" in refused(capsys, f"stories:{tmp_path}/gone.safetensors")


@pytest.mark.parametrize("ref", ["faithcheck/random", "random"])
def test_a_package_may_be_written_before_the_name(capsys, ref):
    assert "method random" in shown(capsys, ref)


METHOD = '''
from faithcheck import parameters

class Mine:
    """One of mine."""
    name = "mine"
    class Parameters(parameters.Parameters):
        steps: int = 3
    def extract(self, problem): ...

class Judge:
    """Judges."""
    name, scope, question, gates = "judge", "circuit", "is it so?", {"number": "<= 1"}
    def measure(self, subject): ...

def tiny(device="cpu"):
    """Our model."""
    from faithcheck import load_model
    return load_model("stories-tiny", device)

def junk(device="cpu"):
    return 3
'''


@pytest.mark.parametrize(
    ("name", "fragments"),
    [
        ("Mine", ["method ", "One of mine.", "steps int 3"]),
        ("Judge", ["check ", "question: is it so?", "number <= 1"]),
        ("tiny", ["model ", "Our model.", "nodes: 1,408"]),
    ],
)
def test_what_is_in_a_file_is_shown_by_what_it_is(capsys, tmp_path, name, fragments):
    (tmp_path / "mine.py").write_text(METHOD)
    text = shown(capsys, f"{tmp_path}/mine.py:{name}")
    assert [fragment for fragment in fragments if fragment not in text] == []


def test_what_is_in_a_file_but_is_nothing_of_the_kind_is_broken(capsys, tmp_path):
    (tmp_path / "mine.py").write_text(METHOD)
    assert "broken: what it gives is no model: it lacks name, fingerprint, " in shown(
        capsys, f"{tmp_path}/mine.py:junk", code=3
    )


def test_files_of_tasks_and_suites_are_shown(capsys):
    assert "task ioi" in shown(capsys, bundled_dir() / "tasks" / "ioi.yaml")
    assert "suite default" in shown(capsys, bundled_dir() / "default.yaml")


def declare(folder, monkeypatch, *lines, **files):
    """A package that declares entry points, on the path."""
    info = folder / "zz-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))


def test_a_name_that_is_of_several_kinds_shows_all(capsys, tmp_path, monkeypatch):
    declare(
        tmp_path, monkeypatch, "[faithcheck.methods]", "quick = zz_mine:Mine", "random = zz_mine:Mine", zz_mine=METHOD
    )
    text = shown(capsys, "quick")
    assert "method quick\npackage: zz" in text
    assert "suite quick" in text
    both = shown(capsys, "random")
    assert both.count("method random") == 2
    assert shown(capsys, "zz/random").count("method random") == 1


def test_a_broken_plugin_is_shown_with_its_reason(capsys, tmp_path, monkeypatch):
    broken = "raise RuntimeError('no licence\\nsecond line')"
    declare(tmp_path, monkeypatch, "[faithcheck.checks]", "zz_raises = zz_raises:X", zz_raises=broken)
    text = shown(capsys, "zz_raises", code=3)
    assert "check zz_raises\nbroken: RuntimeError: no licence\n" in text
    assert "code: zz_raises:X" in text


def test_a_suite_that_names_a_broken_plugin_exits_3(capsys, tmp_path):
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    text = (bundled_dir() / "quick.yaml").read_text().replace("sparse_prune", '"broken.py:Method"')
    (tmp_path / "mine.yaml").write_text(text)
    assert "nowhere_to_be_found" in refused(capsys, tmp_path / "mine.yaml", code=3)


@pytest.mark.parametrize(
    ("ref", "fragment"),
    [
        ("sparse_prun", "did you mean 'sparse_prune'?"),
        ("layernrom", "did you mean 'layernorm'?"),
        ("pronuon", "did you mean 'pronoun'?"),
        ("stories-tinny", "did you mean 'stories-tiny'?"),
        ("storeis:x", "did you mean 'stories'?"),
        ("defualt", "did you mean 'default'?"),
        ("SPARSE_PRUNE", "did you mean 'sparse_prune'?"),
        ("elsewhere/greedy", "did you mean 'faithcheck/greedy'?"),
        ("faithchek/random", "did you mean 'faithcheck/random'?"),
        ("", "nothing is called ''; `faithcheck list` names all"),
        ("gone.yaml", "gone.yaml: no such file"),
        ("gone.py:Mine", "plugin 'gone.py:Mine': no such file: gone.py"),
        ("\x1b[2J", r"nothing is called '\x1b[2J'"),
    ],
)
def test_what_stands_for_nothing_is_refused_with_the_nearest_name_of_any_kind(capsys, ref, fragment):
    error = refused(capsys, ref)
    assert fragment in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("word", HOSTILE, ids=ascii)
def test_hostile_text_is_shown_as_text(capsys, tmp_path, word):
    text = METHOD.replace("One of mine.", f"One {word} of mine.").replace('"<= 1"', repr(word)).replace("number", word)
    text = text.replace("steps: int = 3", f"steps: str = {word!r}")
    (tmp_path / "mine.py").write_text(text)
    for name in ("Mine", "Judge"):
        printed = shown(capsys, f"{tmp_path}/mine.py:{name}")
        assert [c for c in printed if not c.isprintable() and c != "\n"] == []
        assert word.encode("unicode_escape").decode() in printed


def test_hostile_text_in_a_task_is_shown_as_text(capsys, tmp_path):
    text = (bundled_dir() / "tasks" / "pronoun.yaml").read_text()
    text = re.sub("(?m)^about: .*", 'about: "[red]x[/red] \\\\e[31m"', text).replace("[Mia,", '["[/] \\e[31m",')
    (tmp_path / "mine.yaml").write_text(text)
    printed = shown(capsys, tmp_path / "mine.yaml")
    assert "[red]x[/red]" in printed
    assert r"when [/] \x1b[31m washed" in printed
    assert "\x1b" not in printed


class Declared:
    class Parameters(parameters.Parameters):
        needed: int
        share: float = Field(0.5, gt=0, le=1, description="a share")
        mode: Literal["a", "b"] = "a"
        layers: tuple[Annotated[int, Field(ge=0)], ...] = ()
        limit: Annotated[int, Field(ge=1)] | None = None
        word: str = Field("x", min_length=1, max_length=3, pattern="x+")
        made: list[int] = Field(default_factory=lambda: [1])


def test_parameters_are_described_by_type_default_and_what_is_allowed():
    [table] = parameter_tables(Declared)
    assert [row[:4] for row in table.rows] == [
        ("needed", "int", "required", ""),
        ("share", "float", "0.5", "> 0, <= 1"),
        ("mode", "'a' or 'b'", '"a"', ""),
        ("layers", "tuple[int, ...]", "[]", ">= 0"),
        ("limit", "int or null", "null", ">= 1"),
        ("word", "str", '"x"', "at least 1 long, at most 3 long, matches x+"),
        ("made", "list[int]", "[1]", ""),
    ]
    assert table.rows[1][4] == "a share"


@pytest.mark.parametrize("name", [entry.name for entry in plugins.names("methods")])
def test_a_default_that_is_shown_is_what_a_suite_may_give(name):
    method = plugins.load("methods", name)
    for table in parameter_tables(method):
        given = {row[0]: json.loads(row[2]) for row in table.rows}
        assert parameters.build(method, given, name) == parameters.build(method, {}, name)


@pytest.mark.parametrize("plugin", [object(), type("X", (), {"Parameters": dict})])
def test_a_plugin_that_declares_no_parameters_has_no_table(plugin):
    assert parameter_tables(plugin) == []


def test_a_docstring_is_wrapped_by_the_terminal_but_lists_stay():
    assert reflowed("One\n    two.\n\n    - a\n    - b\n\n    three\n    four") == "One two.\n\n- a\n- b\n\nthree four"


@pytest.mark.parametrize("ref", ["sparse_prune", "layernorm", "pronoun", "default", "stories"])
def test_nothing_but_a_model_needs_the_slow_libraries(ref):
    assert slow_imports(f"from faithcheck.cli import main\nassert main(['show', {ref!r}]) == 0") == "SLOW []"


def test_the_list_says_that_there_is_more_to_see(capsys):
    assert main(["list", "suites"]) == 0
    listed = capsys.readouterr().out
    assert "faithcheck show NAME" in listed
    assert all(name in listed for name in yaml_names(bundled_dir()))
