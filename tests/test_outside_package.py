"""A package of an outsider, installed by pip, brings a method, a check and a model, and has no need of a back door."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from outside import faithcheck, install, python

PROJECT = Path(__file__).parent / "fixtures" / "some_package"
SUITE = PROJECT / "suite.yaml"
PLUGINS = {"methods": ["leave_one_out"], "checks": ["prefers_target"], "models": ["one-layer", "one-layer-file"]}
SHOWN = {
    "leave_one_out": ["some_package.method:LeaveOneOut", "together", "> 0", "nodes that are tried in one run, at most"],
    "some-package/prefers_target": ["share", ">= 0.9", "does the circuit prefer the right answer?", "margin"],
    "one-layer": ["some_package.model:one_layer", "nodes: 34", "optional capabilities: none", "attn_q"],
    "one-layer-file": ["one-layer-file:PATH"],
    "one-layer-file:strength.txt": ["nodes: 34"],
}
STRENGTH = "6.0"  # that of `one-layer`
HARSH = "checks.some-package/prefers_target.margin=1000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    install(PROJECT, folder / "site")
    (folder / "strength.txt").write_text(STRENGTH)
    return folder


@pytest.fixture(scope="module")
def told(folder):
    """What each `list` and `show` comes to."""
    commands = [("list", kind) for kind in PLUGINS] + [("show", ref) for ref in SHOWN]
    commands.append(("show", "one-layer-file:gone.txt"))
    return dict(zip(commands, faithcheck(folder / "site", folder, *map(list, commands)), strict=True))


@pytest.fixture(scope="module")
def runs(folder):
    """{output folder: what the command came to}: the package's suite, as it is and with a harsher check."""
    commands = {"plain": [], "harsh": ["--set", HARSH]}
    lines = [["run", SUITE, "--out", out, *more] for out, more in commands.items()]
    return dict(zip(commands, faithcheck(folder / "site", folder, *lines), strict=True))


def result(folder, out):
    return json.loads((folder / out / "result.json").read_text())


def test_its_code_uses_nothing_that_is_ours_alone():
    imported = [name for path in PROJECT.rglob("*.py") for name in imports(path)]
    assert any(name.startswith("faithcheck.") for name in imported)
    private = [
        n for n in imported if n.startswith("faithcheck_circuits") or any(p.startswith("_") for p in n.split("."))
    ]
    assert set(private) <= {"__future__.annotations"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("kind", PLUGINS)
def test_what_it_brings_is_listed_with_its_package_and_a_line_about_it(told, kind):
    for name in PLUGINS[kind]:
        [line] = [line for line in told["list", kind].out.splitlines() if line.split()[:1] == [name]]
        assert line.split()[1] == "some-package"
        assert line.strip().endswith(".")


@pytest.mark.parametrize("ref", SHOWN)
def test_what_it_brings_is_explained(told, ref):
    assert told["show", ref].code == 0
    assert [fragment for fragment in SHOWN[ref] if fragment not in told["show", ref].out] == []


def test_its_method_check_and_model_are_used_in_one_run(folder, runs):
    found = result(folder, "plain")
    # The circuit has no q and k node, so its attention is even: a third on the name, where the model has all of it.
    assert {check["check"]: check["verdict"] for check in found["checks"]} == {
        "sufficiency": "PASS",
        "prefers_target": "PASS",
        "attention_agreement": "FAIL",
        "node_roles": "PASS",
        "layernorm": "FAIL",
    }
    assert (found["verdict"], runs["plain"].code) == ("FAIL", 1)
    assert found["model"]["name"] == "one-layer"
    assert found["method"] == {"name": "leave_one_out", "parameters": {"together": 7}}
    [circuit] = found["circuits"]
    assert (circuit["reached"], circuit["edges"]) == (True, None)


def test_a_parameter_of_its_check_counts_and_its_evidence_is_kept(folder, runs):
    [own] = [check for check in result(folder, "harsh")["checks"] if check["check"] == "prefers_target"]
    assert own["verdict"] == "FAIL"
    assert "prefers the right answer on 0% of the held-out prompts" in own["reason"]
    assert (folder / "harsh" / own["evidence"]["file"]).is_file()


def test_its_loader_is_given_the_path_after_the_colon(folder, told):
    texts = [told["show", ref].out for ref in ("one-layer", "one-layer-file:strength.txt")]
    fingerprints = [line for text in texts for line in text.splitlines() if "fingerprint" in line]
    assert len(fingerprints) == 2
    assert len(set(fingerprints)) == 1
    missing = told["show", "one-layer-file:gone.txt"]
    assert missing.code == 2
    assert missing.err.startswith("faithcheck: cannot read a strength: ")


def test_its_method_and_its_model_keep_the_laws(folder):
    code = """
from faithcheck.testing import check_method, check_model
from some_package.method import LeaveOneOut
from some_package.model import one_layer
check_method(LeaveOneOut)
check_model(one_layer())
"""
    done = python(folder / "site", "-c", code)
    assert done.returncode == 0, done.stderr
