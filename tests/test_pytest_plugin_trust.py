"""What counts as a run of this session and as the verdict of a test: nothing left by another, nothing half done."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from faked_runs import FakedRuns
from plugin_suites import SUITE

from faithcheck import pytest_plugin
from faithcheck.bundled import bundled_dir
from faithcheck.in_pytest import sharing

pytest_plugins = ["pytester", "plugin_sessions"]
pytestmark = pytest.mark.usefixtures("alone")


UNTRUSTED = {
    "a process that is killed after its result": ({"code": -9}, "the run was ended by SIGKILL"),
    "a crash after its result": ({"code": 3, "said": "faithcheck: crashed\n"}, "faithcheck: crashed"),
    "an exit code of success and a result of failure": (
        {"code": 0, "verdicts": {"layernorm": "FAIL"}, "said": "odd\n"},
        "odd",
    ),
    "an interrupted result": ({"code": 0, "changes": {"interrupted": True}, "said": "odd\n"}, "odd"),
    "a verdict that is not that of the checks": (
        {"verdicts": {"layernorm": "FAIL"}, "changes": {"verdict": "PASS"}},
        "*",
    ),
    "a check that is not there": (
        {"changes": {"checks": [{"check": "sufficiency", "task": "pronoun", "verdict": "PASS", "reason": ""}]}},
        "the run has no verdict of layernorm on pronoun: has mine.yaml changed since?",
    ),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_a_result_that_cannot_be_trusted_is_an_error(pytester, faked, case):
    changes, expected = UNTRUSTED[case]
    for name, value in changes.items():
        setattr(faked, name, value)
    result = pytester.runpytest("mine.yaml::pronoun::layernorm")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([expected])


def test_a_suite_that_changes_after_it_was_collected_gives_no_test_the_verdict_of_another(pytester, faked):
    pytester.makepyfile(
        test_a="""
        from pathlib import Path

        def test_it():
            file = Path("mine.yaml")
            file.write_text(file.read_text().replace("  - nonsense_control\\n", ""))
        """
    )
    faked.verdicts["layernorm"] = "FAIL"
    pytester.path.joinpath("mine.yaml").write_text(SUITE.replace(", questions", ""))
    pytester.runpytest("test_a.py", "mine.yaml").assert_outcomes(passed=2, failed=1, errors=1)


def test_a_record_vouches_for_no_run_that_came_after_and_was_not_finished(tmp_path, monkeypatch, pytestconfig):
    """Two sessions in one folder, the second of which is killed: a worker of the first must not take what it left."""
    runs = FakedRuns()
    monkeypatch.setattr(sharing, "run", runs)
    file = tmp_path / "mine.yaml"
    file.write_text(SUITE)
    folder = tmp_path / "out"

    def session(name):
        return sharing.Session(pytestconfig, name, tmp_path)

    def killed(*args):
        FakedRuns()(*args)
        raise KeyboardInterrupt

    session("first").run(folder, [str(file)])
    session("first").run(folder, [str(file)])
    assert len(runs.asked) == 1
    monkeypatch.setattr(sharing, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        session("second").run(folder, [str(file)])
    monkeypatch.setattr(sharing, "run", runs)
    session("first").run(folder, [str(file)])
    assert len(runs.asked) == 2


def test_workers_are_of_the_session_that_started_them_whatever_it_is_called():
    def configured(**given):
        config = SimpleNamespace(stash=pytest.Stash(), addinivalue_line=lambda *args: None, **given)
        pytest_plugin.pytest_configure(config)
        return config

    def ids():
        """Of a session that a user gives a name, and of its two workers."""
        session = configured()
        nodes = [SimpleNamespace(config=session, workerinput={"testrunuid": "nightly"}) for _ in range(2)]
        for node in nodes:
            pytest_plugin.pytest_configure_node(node)
        configs = [session, *(configured(workerinput=node.workerinput) for node in nodes)]
        return {config.stash[pytest_plugin.SESSION] for config in configs}

    first, second = ids(), ids()
    assert len(first) == len(second) == 1
    assert first != second


@pytest.mark.parametrize("option", ["--setup-plan", "--setup-only", "--collect-only"])
def test_a_session_that_only_shows_what_it_would_do_runs_nothing(pytester, faked, option):
    pytester.runpytest(option).assert_outcomes()
    assert faked.asked == []


def test_tests_that_are_named_one_by_one_share_a_run(pytester, faked):
    pytester.runpytest("mine.yaml::pronoun::sufficiency", "mine.yaml::pronoun::layernorm").assert_outcomes(passed=2)
    assert len(faked.asked) == 1


def task_called(pytester, file, name):
    text = (bundled_dir() / "tasks/pronoun.yaml").read_text()
    changed = text.replace("task: pronoun", f"task: {json.dumps(name, ensure_ascii=False)}", 1)
    pytester.path.joinpath(file).write_text(changed)


def test_tasks_whose_names_differ_in_punctuation_have_folders_of_their_own(pytester, faked):
    task_called(pytester, "a.yaml", "he/she")
    task_called(pytester, "b.yaml", "he she")
    pytester.path.joinpath("mine.yaml").write_text(SUITE.replace("pronoun, questions", "a.yaml, b.yaml"))
    faked.verdicts["he she", "layernorm"] = "FAIL"
    pytester.runpytest("mine.yaml").assert_outcomes(passed=5, failed=1)
    assert len(list(pytester.path.rglob("result.json"))) == 2


NAMES = ["\N{PARROT}", "\u00e9t\u00e9", 'a "b" \\c', "x" * 300, "..", "[1]", "a::b", "\u2028"]


@pytest.mark.parametrize("name", NAMES)
def test_a_task_may_have_an_unusual_name_and_its_file_too(pytester, faked, name):
    file = f"{name[:40]}.yaml".replace("/", "")
    task_called(pytester, file, name)
    pytester.path.joinpath("mine.yaml").write_text(SUITE.replace("pronoun, questions", f"pronoun, {json.dumps(file)}"))
    pytester.runpytest("mine.yaml").assert_outcomes(passed=6)
    folder = pytester.path / "faithcheck-results/pytest/mine.yaml"
    assert len(list(folder.glob("*/result.json"))) == 2
