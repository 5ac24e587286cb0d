"""What is imported when: the command line answers without torch, and the harness never imports the bundled plugins."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import faithcheck_circuits
import pytest

import faithcheck

SLOW = ("torch", "numpy", "scipy")


def slow_imports(code):
    """The slow libraries that are imported after `code` has run in a fresh interpreter."""
    report = f"import sys; print('SLOW', [m for m in {SLOW} if m in sys.modules])"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


COMMANDS = [
    ["--help"],
    ["--version"],
    ["run", "--help"],
    ["calibrate", "--help"],
    ["report", "--help"],
    ["list"],
    ["validate", "default"],
    ["validate", "quick"],
]


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_a_command_that_computes_nothing_does_not_wait_for_the_slow_libraries(args):
    code = f"""
from faithcheck.cli import main
try:
    assert main({args}) == 0
except SystemExit as stop:
    assert not stop.code
"""
    assert slow_imports(code) == "SLOW []"


@pytest.mark.parametrize("code", ["import faithcheck", "import faithcheck_circuits", "import faithcheck.cli"])
def test_importing_the_packages_imports_no_slow_library(code):
    assert slow_imports(code) == "SLOW []"


BAD_ARGUMENTS = [["validate", "defualt"], ["report", "gone"], ["calibrate", "--family", "x", "--instances", "1"]]


@pytest.mark.parametrize("args", BAD_ARGUMENTS, ids=" ".join)
def test_a_bad_argument_is_refused_without_the_slow_libraries(args):
    assert slow_imports(f"from faithcheck.cli import main\nassert main({args}) == 2") == "SLOW []"


@pytest.mark.parametrize("name", faithcheck.__all__)
def test_every_public_name_resolves(name):
    assert getattr(faithcheck, name) is not None


def test_the_public_names_are_those_of_the_design():
    names = {"Circuit", "NodeScores", "Problem", "load_model", "load_task", "run_suite"}
    assert names <= set(faithcheck.__all__)
    assert faithcheck.__version__


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'circuit_of'"):
        faithcheck.circuit_of  # noqa: B018


def imported(package):
    """(file, module) of every import statement in a package, and of every module name in a string."""
    for path in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield path.name, node.module or ""


def test_the_harness_never_imports_the_bundled_plugins():
    assert [found for found in imported(faithcheck) if found[1].startswith("faithcheck_circuits")] == []


def test_the_bundled_plugins_import_the_harness():
    assert any(module.split(".")[0] == "faithcheck" for _, module in imported(faithcheck_circuits))


def test_no_module_of_the_harness_names_the_bundled_plugins_in_a_string():
    """`import_module("faithcheck_circuits...")` would be a back door too."""
    for path in Path(faithcheck.__file__).parent.rglob("*.py"):
        strings = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
        assert not [s for s in strings if isinstance(s, str) and s.startswith("faithcheck_circuits")], path
