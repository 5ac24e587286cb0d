"""`pytest suites/`: which files become tests, what they are called, and what the plugin costs where there are none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from plugin_suites import BROKEN, SUITE

from faithcheck.bundled import bundled_dir
from faithcheck.marked_yaml import loads

pytest_plugins = ["pytester", "plugin_sessions"]
pytestmark = pytest.mark.usefixtures("alone")

ITEMS = [
    f"mine.yaml::{task}::{check}"
    for task in ("pronoun", "questions")
    for check in ("sufficiency", "nonsense_control", "layernorm")
]


def collected(pytester, *args):
    """The names of the tests that would run."""
    result = pytester.runpytest("--collect-only", "-q", "--strict-markers", *args)
    return [line for line in result.stdout.lines if "::" in line]


def test_a_suite_is_one_test_for_each_task_and_check_and_sufficiency_always_is_one(pytester):
    pytester.path.joinpath("mine.yaml").write_text(SUITE)
    assert collected(pytester) == ITEMS


@pytest.mark.parametrize(
    ("args", "places"),
    [
        (["mine.yaml::pronoun"], [0, 1, 2]),
        (["mine.yaml::questions::layernorm"], [5]),
        (["-k", "layernorm"], [2, 5]),
        (["-k", "pronoun and not layernorm"], [0, 1]),
        (["-m", "faithcheck"], [0, 1, 2, 3, 4, 5]),
        (["-m", "not faithcheck"], []),
        (["-m", "faithcheck(task='questions')"], [3, 4, 5]),
        (["-m", "faithcheck(check='layernorm', suite='mine')"], [2, 5]),
    ],
    ids=str,
)
def test_tests_are_selected_by_their_names_and_by_marks(pytester, args, places):
    pytester.path.joinpath("mine.yaml").write_text(SUITE)
    assert collected(pytester, *args) == [ITEMS[place] for place in places]


def test_names_of_tests_are_one_line_without_control_characters(pytester):
    task = (
        (bundled_dir() / "tasks/pronoun.yaml").read_text().replace("task: pronoun", r'task: "a\nb\e[31m \u202e<c>"', 1)
    )
    assert 'faithcheck_task: 1\ntask: "a' in task
    pytester.path.joinpath("hostile.yaml").write_text(task)
    pytester.path.joinpath("mine.yaml").write_text(SUITE.replace("pronoun, questions", "hostile.yaml"))
    found = collected(pytester, "mine.yaml")
    assert found[0] == r"mine.yaml::a\nb\x1b[31m \u202e<c>::sufficiency"
    assert len(found) == 3


WRITTEN = {
    "a byte order mark": "\ufeff" + SUITE,
    "flow style, as JSON is": json.dumps(loads(SUITE, "mine.yaml").data),
    "JSON over several lines": json.dumps(loads(SUITE, "mine.yaml").data, indent=2),
    "quoted keys": re.sub("^([a-z_]+):", r"'\1':", SUITE, flags=re.M),
    "carriage returns": SUITE.replace("\n", "\r\n"),
    "all of it indented": "".join(f"  {line}\n" for line in SUITE.splitlines()),
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_a_suite_is_collected_however_its_yaml_is_written(pytester, text):
    pytester.path.joinpath("mine.yaml").write_bytes(text.encode())
    assert collected(pytester) == ITEMS


def test_tests_in_python_that_use_the_fixture_bear_the_mark(pytester):
    pytester.makepyfile("def test_with(faithcheck): pass\ndef test_without(): pass")
    assert [line.split("::")[1] for line in collected(pytester, "-m", "faithcheck")] == ["test_with"]


OTHERS = {
    "a task": "faithcheck_task: 1\ntask: pronoun\nchecks: []\n",
    "a workflow that runs faithcheck": "jobs:\n  faithcheck:\n    steps: []\n  checks:\n    steps: []\n",
    "a key of that name": "faithcheck: yes\nports: [1]\n",
    "a file without it": "checks: []\ntasks: []\n",
    "broken": "{[",
    "empty": "",
    "several documents": "a: 1\n---\nb: 2\n",
}


def test_other_yaml_files_are_not_collected(pytester):
    for name, text in OTHERS.items():
        pytester.path.joinpath(f"{name.replace(' ', '_')}.yaml").write_text(text)
    pytester.path.joinpath("binary.yml").write_bytes(bytes(range(256)))
    pytester.path.joinpath("folder.yaml").mkdir()
    pytester.path.joinpath("gone.yaml").symlink_to("nowhere")
    pytester.path.joinpath("suite.txt").write_text(SUITE)
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest("-W", "error")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_a_file_that_is_named_and_no_suite_is_refused_in_words(pytester, text):
    pytester.path.joinpath("other.yaml").write_text(text)
    result = pytester.runpytest("other.yaml")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["other.yaml: is no suite and no claim: a suite has the keys faithcheck, tasks and checks, a claim *"]
    )


def test_a_file_that_is_named_and_another_plugin_collects_is_left_to_it(pytester):
    pytester.makeconftest(
        """
        import pytest

        class Item(pytest.Item):
            def runtest(self): pass

        class File(pytest.File):
            def collect(self): return [Item.from_parent(self, name="theirs")]

        def pytest_collect_file(file_path, parent):
            return File.from_parent(parent, path=file_path) if file_path.suffix == ".yaml" else None
        """
    )
    pytester.path.joinpath("other.yaml").write_text("a: 1\n")
    pytester.runpytest("other.yaml").assert_outcomes(passed=1)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_suite_is_an_error_of_collection_in_one_or_two_lines(pytester, case):
    old, new, expected = BROKEN[case]
    assert old in SUITE
    pytester.path.joinpath("mine.yaml").write_text(SUITE.replace(old, new))
    result = pytester.runpytest("-q", "--no-header", "mine.yaml")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    said = result.stdout.str().split("ERROR collecting mine.yaml")[1].split("\n", 1)[1].split("=====")[0]
    assert said.startswith(f"mine.yaml{expected}")
    assert len(said.strip().splitlines()) <= 2


def test_a_suite_without_a_method_takes_that_of_the_option(pytester):
    pytester.path.joinpath("mine.yaml").write_text(SUITE.replace("method: full\n", ""))
    assert collected(pytester, "--faithcheck-method", "random") == ITEMS


REPORT = """
import sys, pytest
code = pytest.main(["-p", "faithcheck.pytest_plugin", *sys.argv[1:]])
print()
print(int(code), *sorted(name for name in sys.modules if name.split(".")[0] in {}))
"""
OURS = ("torch", "numpy", "scipy", "pydantic", "yaml", "rich", "jinja2", "faithcheck", "faithcheck_circuits")


def imported(folder, *args):
    """What a session with no other plugin imports of us and of what we need, after its exit code."""
    command = [sys.executable, "-c", REPORT.format(OURS), *args]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def test_a_session_without_suites_imports_nothing_but_the_plugin(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    (tmp_path / "other.yaml").write_text("a: 1\n")
    assert imported(tmp_path) == ["0", "faithcheck", "faithcheck.pytest_plugin", "faithcheck.version"]


def test_collecting_a_suite_does_not_wait_for_the_slow_libraries(tmp_path):
    (tmp_path / "mine.yaml").write_text(SUITE)
    code, *names = imported(tmp_path, "--collect-only")
    assert code == "0"
    assert "faithcheck.in_pytest.items" in names
    assert not {"torch", "numpy", "scipy", "rich"} & set(names)


def test_the_plugin_comes_by_itself_and_can_be_left_out(pytester, monkeypatch):
    for name in ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS"):
        monkeypatch.delenv(name)
    pytester.path.joinpath("mine.yaml").write_text(SUITE)
    assert collected(pytester) == ITEMS
    assert pytester.runpytest("-p", "no:faithcheck").ret == pytest.ExitCode.NO_TESTS_COLLECTED
