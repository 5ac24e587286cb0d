"""Sessions, workers and the processes of runs: one run a task, whoever dies, and nothing left of what is stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import time

import pytest
from plugin_projects import make_project, outcomes, run_pytest, runs_of, start_pytest


@pytest.fixture
def place(tmp_path):
    make_project(tmp_path)
    return tmp_path


def gone(number):
    """Whether a process ends; one that was left without a parent may have to be waited for."""
    for _ in range(100):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_workers_that_take_tests_from_each_other_share_one_run_a_task(place):
    assert outcomes(run_pytest(place, "-n", "2", "--dist", "worksteal", "passes.yaml")) == {"passed": 6}
    assert len(runs_of(place)) == 2


def test_a_worker_that_dies_in_a_run_leaves_the_run_to_the_others(place):
    """The test that it was in is lost, as under pytest-xdist any is; the rest waits for no one."""
    said = run_pytest(place, "-n", "2", "kills_the_worker_once.yaml::pronoun")
    assert len(re.findall("^worker 'gw.' crashed while running", said, re.M)) == 1
    (_, orphan), *others = runs_of(place)
    assert len(others) == 1
    assert gone(orphan)
    assert sum(outcomes(said).values()) == 3
    assert outcomes(said)["passed"] >= 1


def test_a_run_that_is_killed_is_an_error_of_its_tests(place):
    said = run_pytest(place, "is_killed.yaml::pronoun")
    assert outcomes(said) == {"error": 3}
    assert re.findall("^the run was ended by SIGKILL$", said, re.M) == ["the run was ended by SIGKILL"] * 3
    assert len(runs_of(place)) == 1


def test_two_sessions_at_once_in_one_folder_have_runs_of_their_own(place):
    sessions = [start_pytest(place, "passes.yaml::pronoun") for _ in range(2)]
    said = [process.communicate()[0] for process in sessions]
    assert [outcomes(text) for text in said] == [{"passed": 3}] * 2
    assert len(runs_of(place)) == 2


@pytest.mark.parametrize("args", [(), ("-n", "2")], ids=["alone", "workers"])
def test_ctrl_c_stops_the_run_and_keeps_what_was_finished(place, args):
    process = start_pytest(place, *args, "hangs.yaml::pronoun")
    try:
        while not (place / "runs.txt").exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in said
    [(_, number)] = runs_of(place)
    assert gone(number)
    folder = place / "faithcheck-results/pytest/hangs.yaml/pronoun"
    assert json.loads((folder / "result.json").read_text())["interrupted"] is True
    assert not (folder / "pytest.json").exists()
