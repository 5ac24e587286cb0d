"""The CI kit: the action's own steps are run as a runner would, on a copy of the example; hooks and examples fit it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from claiming import content, folder_of

from faithcheck.arguments import parser
from faithcheck.cli import main
from faithcheck.version import __version__

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
EXAMPLE = ROOT / "examples" / "ci"
WORKFLOW = yaml.safe_load((EXAMPLE / ".github" / "workflows" / "faithcheck.yml").read_text())
[HOOK] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
EXPRESSION = re.compile(r"\$\{\{ *([a-z._-]+) *\}\}")


class Runner:
    """Runs the shell steps of the action in a folder, with its inputs, as GitHub documents it for `shell: bash`."""

    def __init__(self, folder, **inputs):
        declared = {name: str(about.get("default", "")) for name, about in ACTION["inputs"].items()}
        self.folder, self.inputs = folder, declared | {name.replace("_", "-"): value for name, value in inputs.items()}
        self.output, self.summary = folder / "output.txt", folder / "summary.md"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.stub("faithcheck", f'exec {shlex.quote(sys.executable)} -m faithcheck.cli "$@"')
        self.stub("python", f'exec {shlex.quote(sys.executable)} "$@"')

    def stub(self, name, script):
        """A command of that name, before all others."""
        (self.bin / name).write_text(f"#!/bin/bash\n{script}\n")
        (self.bin / name).chmod(0o755)

    def value(self, text):
        outputs = (
            dict(line.split("=", 1) for line in self.output.read_text().splitlines()) if self.output.exists() else {}
        )
        known = {f"inputs.{name}": value for name, value in self.inputs.items()}
        known |= {f"steps.run.outputs.{name}": value for name, value in outputs.items()}
        return EXPRESSION.sub(lambda found: known[found[1]], text)

    def step(self, name):
        step = STEPS[name]
        env = {
            **os.environ,
            **{key: self.value(text) for key, text in step.get("env", {}).items()},
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_WORKSPACE": str(self.folder),
            "GITHUB_ACTION_PATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(shell, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300)

    def verdict(self):
        """The exit code of the last step."""
        return self.step("Verdict").returncode

    @property
    def out(self):
        return self.folder / self.value(STEPS["Keep the report"]["with"]["path"])


def asked(runner):
    """The arguments that faithcheck is called with, by a stub in its place."""
    runner.stub("faithcheck", 'printf "%s\\n" "$@" > asked.txt')
    done = runner.step("Run faithcheck")
    assert done.returncode == 0, done.stderr
    return (runner.folder / "asked.txt").read_text().splitlines()


@pytest.fixture
def example(tmp_path):
    """A copy of the example."""
    shutil.copytree(EXAMPLE, tmp_path / "ci")
    return tmp_path / "ci"


def inputs_of_the_example():
    [used] = [step for step in WORKFLOW["jobs"]["claims"]["steps"] if "/faithcheck@" in step["uses"]]
    assert used["uses"] == f"OWNER/faithcheck@v{__version__}"
    return used["with"]


def test_the_example_passes_as_its_workflow_runs_it_and_leaves_reports(example):
    runner = Runner(example, **inputs_of_the_example())
    done = runner.step("Run faithcheck")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 claim held" in done.stdout
    assert runner.output.read_text() == "exit-code=0\n"
    assert runner.verdict() == 0
    assert (runner.out / "pronoun" / "result.json").is_file()
    assert (runner.out / "pronoun" / "report.html").is_file()
    assert (runner.out / "junit.xml").is_file()
    assert "pronoun" in runner.summary.read_text()


def test_a_broken_claim_fails_the_action_after_its_report_was_kept(tmp_path):
    folder = folder_of(tmp_path, a=content(verdicts={"sufficiency": "PASS"}))
    runner = Runner(tmp_path, suite="claims")
    done = runner.step("Run faithcheck")
    assert done.returncode == 0, "the next step is the upload"
    assert runner.output.read_text() == "exit-code=1\n"
    assert runner.verdict() == 1
    line = (folder / "a.yaml").read_text().splitlines().index('  "sufficiency": "PASS"') + 1
    assert f"::error file=claims/a.yaml,line={line},title=" in done.stdout


def test_the_upload_is_between_the_run_and_the_verdict_and_happens_always():
    names = list(STEPS)
    assert names[-3:] == ["Run faithcheck", "Keep the report", "Verdict"]
    assert STEPS["Keep the report"]["if"] == "${{ always() }}"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 130])
def test_the_action_ends_with_the_exit_code_of_faithcheck(tmp_path, code):
    runner = Runner(tmp_path, suite="quick")
    runner.stub("faithcheck", f"exit {code}")
    assert runner.step("Run faithcheck").returncode == 0
    assert runner.verdict() == code


BASE = ["run", "--out", "faithcheck-results/ci", "--report", "html", "--report", "junit", "--report", "github"]


@pytest.mark.parametrize(
    ("inputs", "more"),
    [
        ({}, []),
        ({"method": "full", "model": "stories-tiny"}, ["--method", "full", "--model", "stories-tiny"]),
        ({"allow_inconclusive": "true"}, ["--allow-inconclusive"]),
        ({"args": " "}, []),
        ({"args": "--seeds 2 --set 'checks.layernorm.gates.frozen_loss=<= 0.3'"},
         ["--seeds", "2", "--set", "checks.layernorm.gates.frozen_loss=<= 0.3"]),
    ],
)  # fmt: skip
def test_inputs_become_arguments_of_run(tmp_path, inputs, more):
    words = asked(Runner(tmp_path, suite="quick", **inputs))
    assert words == [*BASE, *more, "--", "quick"]
    assert callable(parser().parse_args(words).command)


@pytest.mark.parametrize("name", ["suite", "method", "model", "args", "out"])
def test_no_input_is_read_as_a_command(tmp_path, name):
    hostile = "$(touch pwned) `touch pwned`; touch pwned #"
    words = asked(Runner(tmp_path, **{"suite": "quick", name: hostile}))
    assert not (tmp_path / "pwned").exists()
    assert set(shlex.split(hostile) if name == "args" else [hostile]) <= set(words)


@pytest.mark.parametrize("name", ["method", "model", "out"])
def test_no_input_is_read_as_an_option(tmp_path, name):
    """`--help` would be green."""
    with pytest.raises(SystemExit) as end:
        parser().parse_args(asked(Runner(tmp_path, **{"suite": "quick", name: "--help"})))
    assert end.value.code == 2


def test_a_suite_called_like_an_option_is_a_suite(tmp_path):
    assert parser().parse_args(asked(Runner(tmp_path, suite="--help"))).suite == "--help"


def test_no_expression_stands_in_a_script():
    assert [name for name, step in STEPS.items() if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize(
    ("inputs", "installed"),
    [({}, f"-c {ROOT}/constraints.txt {ROOT}"), ({"package": "x==1", "constraints": "c.txt"}, "-c c.txt x==1")],
)
def test_what_is_installed_is_the_version_of_the_action_with_what_was_tested(tmp_path, inputs, installed):
    runner = Runner(tmp_path, suite="quick", **inputs)
    runner.stub("python", 'echo "$@" > installed.txt')
    assert runner.step("Install faithcheck").returncode == 0
    assert (tmp_path / "installed.txt").read_text().strip() == f"-m pip install --quiet {installed}"


def test_every_input_is_used_and_every_expression_leads_somewhere():
    text = (ROOT / "action.yml").read_text()
    used = {found.removeprefix("inputs.") for found in EXPRESSION.findall(text) if found.startswith("inputs.")}
    assert used == set(ACTION["inputs"])
    assert all("description" in about for about in [*ACTION["inputs"].values(), *ACTION["outputs"].values()])


def test_the_inputs_that_the_docs_name_are_those_of_the_action():
    table = (ROOT / "docs" / "ci.md").read_text().split("| input | means |")[1].split("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])}
    assert named == set(ACTION["inputs"])


VALIDATED = ["suites/a.yaml", "suites/tasks/b.yml", "claims/c.yaml", "deep/claims/d/e.yaml"]
NOT_VALIDATED = [
    "docs/a.yaml",
    ".github/workflows/faithcheck.yml",
    "claims/a.safetensors",
    "myclaims/a.yaml",
    "suites.yaml",
]


def test_the_hook_takes_the_yaml_files_of_suites_and_claims():
    pattern = re.compile(HOOK["files"])
    assert [path for path in VALIDATED + NOT_VALIDATED if pattern.search(path)] == VALIDATED


def test_the_hook_validates_all_files_that_it_takes_of_the_example(example, capsys, monkeypatch):
    monkeypatch.chdir(example)
    files = [path.relative_to(example).as_posix() for path in sorted(example.rglob("*")) if path.is_file()]
    taken = [file for file in files if re.search(HOOK["files"], file)]
    assert taken == ["claims/pronoun.yaml", "suites/circuit.yaml"]
    program, *entry = shlex.split(HOOK["entry"])
    assert program == "faithcheck"
    assert main([*entry, *taken]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_example_uses_the_hook_that_there_is():
    [repo] = yaml.safe_load((EXAMPLE / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["id"] for hook in repo["hooks"]] == [HOOK["id"]]
    assert repo["rev"] == f"v{__version__}"


PAGES = [EXAMPLE / "README.md", ROOT / "docs" / "ci.md", ROOT / "docs" / "claims.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_on_a_page_are_commands(page):
    lines = [line for line in page.read_text().splitlines() if line.startswith("faithcheck ")]
    assert lines
    for line in lines:
        assert callable(parser().parse_args(shlex.split(line.split(" > ")[0])[1:]).command)
