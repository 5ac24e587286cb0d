"""The lock between workers: held by one at a time, and by no one who is dead."""

from __future__ import annotations

import errno
import fcntl
import signal
import subprocess
import sys

import pytest

from faithcheck.errors import UserError
from faithcheck.in_pytest import lock

HOLD = """
import sys
from pathlib import Path
from faithcheck.in_pytest.lock import held

with held(Path("lock"), alone=False):
    print("held", flush=True)
    sys.stdin.read()
print("released", flush=True)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts processes that take the lock and hold it until their input ends."""
    started = []

    def start():
        pipe = subprocess.PIPE
        started.append(subprocess.Popen([sys.executable, "-c", HOLD], cwd=tmp_path, stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def free(path):
    """Whether nobody holds the lock."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_the_lock_is_held_until_it_is_released(holder, tmp_path):
    process = holder()
    assert process.stdout.readline() == "held\n"
    assert not free(tmp_path / "lock")
    process.stdin.close()
    assert process.stdout.readline() == "released\n"
    assert free(tmp_path / "lock")


def test_a_holder_that_is_killed_holds_nothing(holder):
    first = holder()
    assert first.stdout.readline() == "held\n"
    second = holder()
    first.send_signal(signal.SIGKILL)
    assert second.stdout.readline() == "held\n"


def test_a_lock_is_given_back_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match="inside"), lock.held(tmp_path / "lock", alone=False):
            raise ValueError("inside")


def no_locks(*args):
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize(("place", "value"), [(lock, None), (fcntl, no_locks)], ids=["system", "network drive"])
def test_without_file_locks_workers_are_refused_and_one_process_goes_on(tmp_path, monkeypatch, place, value):
    monkeypatch.setattr(place, "fcntl" if place is lock else "flock", value)
    with lock.held(tmp_path / "lock", alone=True):
        pass
    with pytest.raises(UserError, match="run pytest without -n"), lock.held(tmp_path / "lock", alone=False):
        pass


def test_a_lock_that_cannot_be_opened_is_refused_in_words(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(UserError, match="cannot write results there"), lock.held(tmp_path / "lock", alone=True):
        pass
