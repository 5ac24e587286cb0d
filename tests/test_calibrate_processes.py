"""The worker processes of `faithcheck calibrate`: how many there are, one that dies, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from stub_families import HERE, family

from faithcheck.calibration import calibrate


class TestProcesses:
    def test_the_number_of_workers_does_not_change_the_files(self, tmp_path):
        refs = [family(name) for name in ("Rescaled", "Crashing", "Cancelling")]
        for workers in (1, 2):
            found = calibrate(refs, ["layernorm", "sufficiency", "nonsense_control"], 2, workers=workers)
            found.write(tmp_path / str(workers))
        for name in ("calibration.json", "calibration.md"):
            one, two = ((tmp_path / workers / name).read_bytes() for workers in ("1", "2"))
            assert one == two

    def test_a_worker_that_dies_is_an_error_of_what_ran_in_it_and_the_rest_goes_on(self):
        found = calibrate([family("Dies"), family("Honest")], ["sufficiency"], 4, workers=2)
        failed = {(i.family, i.seed): i.error for i in found.found if i.error}
        # Two were under way, and nobody knows which of them it was.
        assert ("dies", 1) in failed
        assert len(failed) <= 2
        assert set(failed.values()) == {"a worker process died while this instance ran"}
        assert [(i.family, i.seed) for i in found.found] == [(f, s) for f in ("dies", "honest") for s in range(4)]
        assert {r.verdict.value for i in found.found if not i.error for r in i.records} == {"PASS"}
        assert found.exit_code == 3


@contextmanager
def stuck(folder):
    """A calibration of which an instance hangs; its workers leave their process ids in the folder."""
    args = ["calibrate", "--family", family("Stuck"), "--check", "sufficiency", "--instances", "4", "--out", "out"]
    process = subprocess.Popen(
        [sys.executable, "-m", "faithcheck.cli", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not list(folder.glob("stuck-*")) and process.poll() is None:
            time.sleep(0.05)
        yield process
    finally:
        process.kill()


def stuck_workers(folder):
    return [int(path.name.partition("-")[2]) for path in folder.glob("stuck-*")]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A calibration that gets SIGINT, as from a terminal, once an instance hangs: folder, exit code, stderr, pids."""
    folder = tmp_path_factory.mktemp("interrupted")
    with stuck(folder) as process:
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    return folder, process.returncode, error, stuck_workers(folder)


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    with stuck(tmp_path) as process:
        process.kill()
        process.wait()
    workers, deadline = stuck_workers(tmp_path), time.monotonic() + 60
    assert workers
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


class TestInterrupt:
    def test_it_exits_130_in_one_line(self, interrupted):
        _, code, error, _ = interrupted
        assert code == 130
        assert error.strip().splitlines() == ["faithcheck: interrupted; what was finished is kept in out"]

    def test_no_worker_is_left(self, interrupted):
        *_, pids = interrupted
        assert pids
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    def test_what_was_finished_is_written_and_said_to_be_partial(self, interrupted):
        folder, *_ = interrupted
        data = json.loads((folder / "out" / "calibration.json").read_text())
        assert data["interrupted"] is True
        assert data["instances"]
        assert {i["seed"] for i in data["instances"]} <= {0, 1}
        text = (folder / "out" / "calibration.md").read_text()
        assert f"**Interrupted**: {len(data['instances'])} of 4 instances are in this file." in text
        assert not list((folder / "out").glob("*.partial"))
