"""Plugins are found by entry point or in a file, and fail by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faithcheck import parameters
from faithcheck.cli import main
from faithcheck.errors import Location, UserError
from faithcheck.parameters import as_data, build
from faithcheck.plugins import GROUPS, BrokenPlugin, Entry, describe, find, load, names

PLUGIN = '''\
"""A module with plugins."""


class Good:
    """Keeps every node.

    And says no more.
    """


class Undocumented:
    pass


def a_model():
    """A model of nothing."""
'''


def _install(folder: Path, package: str, group: str, **entries: str) -> None:
    """A distribution, as pip would leave it on the path."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[faithcheck.{group}]", *lines]) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path, with two packages that declare methods."""
    site = tmp_path / "site"
    _install(
        site,
        "alpha-tools",
        "methods",
        zz_good="zz_alpha:Good",
        zz_shared="zz_alpha:Good",
        zz_bare="zz_alpha:Undocumented",
        zz_raises="zz_raises:Anything",
        zz_exits="zz_exits:Anything",
        zz_absent="zz_absent:Anything",
        zz_attr="zz_alpha:Missing",
    )
    _install(site, "beta-tools", "methods", zz_shared="zz_alpha:Undocumented")
    (site / "zz_alpha.py").write_text(PLUGIN)
    (site / "zz_raises.py").write_text("raise RuntimeError('no licence\\nsecond line')\n")
    (site / "zz_exits.py").write_text("import sys\nsys.exit(7)\n")
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in [name for name in sys.modules if name.startswith("zz_")]:
        del sys.modules[name]


def test_plugins_are_named_without_being_imported(site: Path) -> None:
    found = [entry for entry in names("methods") if entry.name.startswith("zz_")]
    assert [str(entry) for entry in found] == [
        "alpha-tools/zz_absent",
        "alpha-tools/zz_attr",
        "alpha-tools/zz_bare",
        "alpha-tools/zz_exits",
        "alpha-tools/zz_good",
        "alpha-tools/zz_raises",
        "alpha-tools/zz_shared",
        "beta-tools/zz_shared",
    ]
    assert found[4] == Entry("zz_good", "alpha-tools", "zz_alpha:Good")
    assert "zz_alpha" not in sys.modules


def test_a_group_knows_only_its_own_plugins(site: Path) -> None:
    assert not [entry for entry in names("models") if entry.name.startswith("zz_")]


@pytest.mark.parametrize(
    ("ref", "attribute"),
    [
        ("zz_good", "Good"),
        ("alpha-tools/zz_good", "Good"),
        ("alpha-tools/zz_shared", "Good"),
        ("beta-tools/zz_shared", "Undocumented"),
    ],
)
def test_a_plugin_is_loaded_by_its_name_or_package_and_name(site: Path, ref: str, attribute: str) -> None:
    loaded: Any = load("methods", ref)
    assert (loaded.__module__, loaded.__name__) == ("zz_alpha", attribute)


@pytest.mark.parametrize(
    ("group", "ref", "fragment"),
    [
        ("methods", "zz_godo", "unknown method 'zz_godo'"),
        ("methods", "zz_godo", "did you mean 'zz_good'?"),
        ("methods", "alpha-tool/zz_good", "did you mean 'alpha-tools/zz_good'?"),
        ("methods", "beta-tools/zz_good", "unknown method 'beta-tools/zz_good'"),
        ("methods", "beta-tools/zz_good", "did you mean 'alpha-tools/zz_good'?"),
        ("methods", "ZZ_GOOD", "did you mean 'zz_good'?"),
        (
            "methods",
            "zz_shared",
            "several packages; write alpha-tools/zz_shared or beta-tools/zz_shared",
        ),
        ("methods", "", "unknown method ''"),
        ("models", "hub:gpt2", "unknown model 'hub:gpt2'"),
        ("methods", "lens:gpt2", "unknown method 'lens:gpt2'"),
        ("checks", "no/such/file.py:Mine", "check 'no/such/file.py:Mine': no such file: no/such/file.py"),
        ("checks", "mine.py", "expected path/to/file.py:NAME"),
        ("checks", "mine.py:", "expected path/to/file.py:NAME"),
    ],
)
def test_a_bad_reference_is_refused_by_name(site: Path, group: str, ref: str, fragment: str) -> None:
    with pytest.raises(UserError) as caught:
        load(group, ref)
    assert fragment in caught.value.message


def test_an_unknown_name_lists_the_known_ones_where_they_are_few(site: Path) -> None:
    _install(site, "gamma", "few", one="zz_alpha:Good", two="zz_alpha:Good")
    with pytest.raises(UserError, match=r"unknown few 'x'; known: one, two$"):
        find("few", "x")


@pytest.mark.parametrize("group", GROUPS)
def test_of_many_names_all_are_listed_unless_a_command_lists_them(
    site: Path, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _install(site, "delta", group, **{f"zz_n{i}": "zz_alpha:Good" for i in range(30)})
    with pytest.raises(UserError) as caught:
        find(group, "zz_x")
    if f"`faithcheck list {group}` names all" in str(caught.value):
        assert main(["list", group]) == 0
        shown = capsys.readouterr().out
    else:
        shown = str(caught.value)
        assert "known: " in shown
    assert all(f"zz_n{i}" in shown for i in range(30))


_BROKEN = [
    ("zz_raises", "RuntimeError: no licence"),
    ("zz_exits", "SystemExit: 7"),
    ("zz_absent", "ModuleNotFoundError: No module named 'zz_absent'"),
    ("zz_attr", "AttributeError: module 'zz_alpha' has no attribute 'Missing'"),
]


@pytest.mark.parametrize(("name", "reason"), _BROKEN)
def test_a_plugin_that_cannot_be_imported_is_broken_with_its_reason(site: Path, name: str, reason: str) -> None:
    with pytest.raises(BrokenPlugin) as caught:
        load("methods", name)
    assert (caught.value.name, caught.value.package, caught.value.reason) == (name, "alpha-tools", reason)
    assert "\n" not in str(caught.value)


def test_a_listing_describes_the_good_and_the_broken(site: Path) -> None:
    listed = {str(entry): (summary, reason) for entry, summary, reason in describe("methods")}
    assert listed["alpha-tools/zz_good"] == ("Keeps every node.", None)
    assert listed["alpha-tools/zz_bare"] == (None, None)
    assert {name: listed[f"alpha-tools/{name}"] for name, _ in _BROKEN} == {
        name: (None, reason) for name, reason in _BROKEN
    }


def test_a_docstring_that_is_no_text_or_cannot_be_read_does_not_stop_a_listing(site: Path) -> None:
    _install(site, "odd", "methods", zz_number="zz_odd:Number", zz_fails="zz_odd:Fails")
    (site / "zz_odd.py").write_text(
        "class Number: __doc__ = 5\n"
        "class Meta(type):\n    @property\n    def __doc__(cls): raise RuntimeError('no words')\n"
        "class Fails(metaclass=Meta): pass\n"
    )
    listed = {entry.name: (summary, reason) for entry, summary, reason in describe("methods")}
    assert listed["zz_number"] == (None, None)
    assert listed["zz_fails"] == (None, "RuntimeError: no words")
    assert listed["zz_good"] == ("Keeps every node.", None)


def test_a_plugin_in_a_file_is_loaded_once_and_again_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from dataclasses import dataclass\n\n\n@dataclass\nclass Mine:\n    x: int = 1\n")
    first: Any = load("methods", f"{file}:Mine")
    assert first().x == 1
    assert load("methods", f"{file}:Mine") is first
    file.write_text(file.read_text().replace("= 1", "= 2"))
    changed: Any = load("methods", f"{file}:Mine")
    assert changed().x == 2


def test_a_plugin_file_is_looked_for_beside_the_suite_first(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("WHERE = 'beside'\n")
    assert load("methods", "mine.py:WHERE", near=tmp_path) == "beside"


def test_a_missing_name_in_a_file_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Pruner: ...\n")
    with pytest.raises(UserError, match=r"has no 'Prunr'; did you mean 'Pruner'\?"):
        load("methods", f"{tmp_path}/mine.py:Prunr")


@pytest.mark.parametrize(
    ("content", "reason"),
    [("x = 1 / 0", "ZeroDivisionError: division by zero"), ("class", "SyntaxError: "), ("a\0", "S")],
)
def test_a_file_that_cannot_be_executed_is_a_broken_plugin(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "broken.py").write_text(content)
    with pytest.raises(BrokenPlugin) as caught:
        load("checks", f"{tmp_path}/broken.py:Mine")
    assert caught.value.reason.startswith(reason)
    assert caught.value.package == str(tmp_path / "broken.py")
    assert not [name for name in sys.modules if "broken" in name and name.startswith("faithcheck_file")]


class _Method:
    class Parameters(parameters.Parameters):
        steps: int = 100
        rate: float = 0.1
        layers: tuple[int, ...] = ()
        mode: str


class _Plain:
    pass


def test_parameters_are_built_from_what_a_suite_gives() -> None:
    built = build(_Method, {"mode": "fast", "layers": [1, 2], "rate": 1}, "method m")
    assert built.model_dump() == {"steps": 100, "rate": 1.0, "layers": (1, 2), "mode": "fast"}


def test_a_plugin_without_parameters_takes_none() -> None:
    assert build(_Plain, {}, "method full").model_dump() == {}
    with pytest.raises(UserError, match=r"method full\.steps: unknown key; allowed: none"):
        build(_Plain, {"steps": 3}, "method full")


@pytest.mark.parametrize(
    ("given", "fragment"),
    [
        (
            {"stesp": 3},
            "method m.stesp: unknown key; allowed: steps, rate, layers, mode; did you mean 'steps'",
        ),
        ({"steps": "300"}, "method m.steps: found '300'; allowed: a whole number"),
        ({"steps": True}, "method m.steps: found true; allowed: a whole number"),
        ({"rate": "high"}, "method m.rate: found 'high'; allowed: a number"),
        ({"layers": [1, "x"]}, "method m.layers[1]: found 'x'; allowed: a whole number"),
        ({"rate": float("inf")}, "method m: parameters must be plain and finite"),
        ({"mode": None}, "method m.mode: found nothing; allowed: text"),
    ],
)
def test_a_bad_parameter_is_refused_by_plugin_and_name(given: dict[str, Any], fragment: str) -> None:
    with pytest.raises(UserError) as caught:
        build(_Method, {"mode": "fast", **given}, "method m")
    assert str(caught.value).startswith(fragment)


def test_a_missing_parameter_is_named_and_all_reasons_are_said_at_once() -> None:
    with pytest.raises(UserError) as caught:
        build(_Method, {"steps": "x"}, "method m")
    assert sorted(str(caught.value).splitlines()) == [
        "method m.mode: missing",
        "method m.steps: found 'x'; allowed: a whole number",
    ]


def test_a_bad_parameter_is_refused_where_it_was_written() -> None:
    def locate(path: tuple[str | int, ...], key: bool) -> Location:
        return Location("s.yaml", 7 if key else 8)

    with pytest.raises(UserError, match=r"^s\.yaml:7: m\.x: unknown key"):
        build(_Method, {"mode": "fast", "x": 1}, "m", locate)
    with pytest.raises(UserError, match=r"^s\.yaml:8: m\.steps: found"):
        build(_Method, {"mode": "fast", "steps": "x"}, "m", locate)


def test_a_default_that_json_has_no_form_for_is_written_as_text() -> None:
    """Or result.json could not be written after all the work."""

    class Odd(parameters.Parameters, arbitrary_types_allowed=True):
        most: float = float("inf")
        pair: tuple[int, float] = (1, 0.5)
        loss: object = print

    assert as_data(Odd()) == {"most": "Infinity", "pair": [1, 0.5], "loss": "builtin_function_or_method"}


def test_parameters_that_are_no_model_are_the_plugins_fault() -> None:
    class Wrong:
        Parameters = dict

    with pytest.raises(TypeError, match="method w: Parameters must be a class derived from"):
        build(Wrong, {}, "method w")


def test_loading_suites_tasks_and_plugins_does_not_import_the_slow_libraries() -> None:
    code = (
        "import sys; from faithcheck import suite, task, plugins, parameters\n"
        "s = suite.load_suite('default').suite\n"
        "[task.load_task(t) for t in s.tasks]; plugins.names('checks')\n"
        "print(sorted({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("[]\n", "")
