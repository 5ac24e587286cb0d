"""Every form of reference, to methods, checks and models; what is broken stops only a run that asks for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from faithcheck_circuits import bundled

from faithcheck import load_model
from faithcheck.cli import main
from faithcheck.errors import UserError
from faithcheck.plugins import BrokenPlugin

SUITE = """\
faithcheck: 1
model: {model}
tasks: [pronoun]
method: {method}
seeds: 1
target_loss: 0.15
checks: [{check}]
"""
PLUGINS = '''
from typing import ClassVar
from faithcheck import NodeScores, load_model
from faithcheck.check import Measurement

class Everything:
    """Keeps every node."""
    name = "everything"
    def extract(self, problem):
        import torch
        return NodeScores({name: torch.ones(site.size) for name, site in problem.model.sites.items()})

class Undecided:
    """Cannot say."""
    name, scope, question = "undecided", "circuit", "who knows?"
    gates: ClassVar = {"number": "<= 1"}
    def measure(self, subject):
        return Measurement(undecided="nobody knows")
    def sentence(self, metric, verdict):
        return "a sentence"

def tiny(device="cpu"):
    """The tiny model."""
    return load_model("stories-tiny", device)

def needs_path(path, device="cpu"):
    raise AssertionError

def number(device="cpu"):
    return 3

def raises(device="cpu"):
    raise RuntimeError("no licence\\nsecond line")
'''


@pytest.fixture
def zz(tmp_path, monkeypatch):
    """A package `zz` with one plugin of each kind that works and one that cannot be imported."""
    site = tmp_path / "site"
    info = site / "zz-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz\nVersion: 1.0\n")
    kinds = {"methods": "Everything", "checks": "Undecided", "models": "tiny"}
    lines = [
        f"[faithcheck.{kind}]\nzz_{kind} = zz_good:{name}\nzz_bad_{kind} = zz_bad:X" for kind, name in kinds.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / "zz_good.py").write_text(PLUGINS)
    (site / "zz_bad.py").write_text("raise RuntimeError('no licence\\nsecond line')\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    yield
    for name in [name for name in sys.modules if name.startswith("zz_")]:
        del sys.modules[name]


def run(folder, method="full", check="sufficiency", model="stories-tiny"):
    """The exit code of a suite in a folder of its own."""
    (folder / "suites").mkdir()
    (folder / "suites" / "mine.py").write_text(PLUGINS)
    (folder / "suites" / "mine.yaml").write_text(SUITE.format(method=method, check=check, model=model))
    return main(["run", str(folder / "suites" / "mine.yaml"), "--out", str(folder / "out")])


@pytest.mark.parametrize("form", ["zz_{}", "zz/zz_{}"])
@pytest.mark.usefixtures("zz")
def test_all_three_kinds_may_be_named_with_or_without_their_package(tmp_path, form):
    code = run(tmp_path, *(form.format(kind) for kind in ("methods", "checks", "models")))
    expect_all_three(tmp_path, code)


@pytest.mark.usefixtures("zz")
def test_all_three_kinds_may_be_in_a_file_beside_the_suite(tmp_path):
    code = run(tmp_path, "mine.py:Everything", "mine.py:Undecided", "mine.py:tiny")
    expect_all_three(tmp_path, code)


def expect_all_three(folder, code):
    """`Everything` keeps all nodes, which sufficiency fails; the check cannot say."""
    result = json.loads((folder / "out" / "result.json").read_text())
    assert code == 1
    assert result["model"]["name"] == "stories-tiny"
    assert [circuit["size"] for circuit in result["circuits"]] == [1408]
    reasons = {check["check"]: check["reason"] for check in result["checks"]}
    assert "keeps 100.00% of the model's nodes" in reasons["sufficiency"]
    assert "nobody knows" in reasons["undecided"]


@pytest.mark.parametrize("loader", ["stories", "faithcheck/stories"])
def test_a_loader_of_models_takes_what_comes_after_the_colon(loader):
    weights = Path(bundled.__file__).parent / "stories-tiny.safetensors"
    assert load_model(f"{loader}:{weights}").fingerprint == load_model("stories-tiny").fingerprint


@pytest.mark.parametrize(
    ("ref", "fragment"),
    [
        ("faithchek/stories:x", "did you mean 'faithcheck/stories'?"),
        ("lenz:gpt2", "unknown model 'lenz'"),
        ("stories", "(stories:PATH)"),
        ("mine.py:needs_path", "is a loader that needs a file, or no model"),
        ("mine.py:tny", "mine.py has no 'tny'; did you mean 'tiny'?"),
        ("gone.py:tiny", "no such file: gone.py"),
    ],
)
@pytest.mark.usefixtures("zz")
def test_a_model_that_cannot_be_found_is_refused(tmp_path, ref, fragment):
    (tmp_path / "mine.py").write_text(PLUGINS)
    with pytest.raises(UserError) as caught:
        load_model(ref)
    assert fragment in caught.value.message


@pytest.mark.parametrize(
    ("name", "reason"),
    [("number", "what it gives is no model: it lacks name, fingerprint"), ("raises", "RuntimeError: no licence")],
)
@pytest.mark.usefixtures("zz")
def test_what_gives_no_model_is_a_broken_plugin(tmp_path, name, reason):
    (tmp_path / "mine.py").write_text(PLUGINS)
    with pytest.raises(BrokenPlugin) as caught:
        load_model(f"mine.py:{name}")
    assert caught.value.reason.startswith(reason)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("zz")
def test_broken_plugins_are_listed_with_the_reason_and_do_not_stop_a_run_that_asks_for_none(tmp_path, capsys):
    assert main(["list"]) == 0
    listed = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    for kind in ("methods", "checks", "models"):
        assert [f"zz_bad_{kind}", "zz", "broken: RuntimeError: no licence"] in [
            [*map(str.strip, row)] for row in listed
        ]
    assert run(tmp_path, "zz_methods") == 1


@pytest.mark.parametrize("part", ["method", "check", "model"])
@pytest.mark.usefixtures("zz")
def test_a_broken_plugin_stops_a_run_that_asks_for_it_before_anything_is_written(tmp_path, capsys, part):
    assert run(tmp_path, **{part: f"zz_bad_{part}s"}) == 3
    error = capsys.readouterr().err.strip()
    assert error == f"faithcheck: zz_bad_{part}s (from zz) cannot be used: RuntimeError: no licence"
    assert not (tmp_path / "out").exists()
