"""Folders that a pytest of its own runs in, with faked runs that are processes all the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from plugin_suites import SUITE

CONFTEST = """
import sys
from pathlib import Path
from faithcheck.in_pytest import process

process.CHILD[1:] = ["-u", str(Path(__file__).with_name("child.py"))]
"""
CHILD = """
import os, signal, time
from pathlib import Path

import faithcheck.cli
from faked_runs import FakedRuns
from faithcheck.in_pytest import child


def main(arguments):
    what, log = Path(arguments[1]).stem, Path(arguments[-1], "faked.txt")
    runs = FakedRuns()
    with open("runs.txt", "a") as file:
        print(what, os.getpid(), file=file)
    if what == "kills_the_worker_once" and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if what == "is_killed":
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        time.sleep(0.3 if what != "hangs" else 120)
    except KeyboardInterrupt:
        runs.changes = {"interrupted": True, "checks": [], "verdict": "INCONCLUSIVE"}
        runs.code = 130
    return runs(arguments, Path.cwd(), log, [], print)


faithcheck.cli.main = main
raise SystemExit(child.main())
"""


def make_project(folder: Path) -> None:
    """Suites that are called what their runs do. `runs.txt` gets their names and process ids."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "child.py").write_text(CHILD)
    for name in ("passes", "kills_the_worker_once", "is_killed", "hangs"):
        (folder / f"{name}.yaml").write_text(SUITE)


def runs_of(folder: Path) -> list[tuple[str, int]]:
    """(suite, process id) of every run since the last call."""
    file = folder / "runs.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [(name, int(number)) for name, number in map(str.split, lines)]


def start_pytest(folder: Path, *args: str) -> subprocess.Popen:
    """pytest in a process of its own, with no plugins but xdist and ours."""
    plugins = ("-p", "xdist", "-p", "faithcheck.pytest_plugin", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "--color=no", *plugins, *args]
    tests = str(Path(__file__).parent)
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": tests}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)


def run_pytest(folder: Path, *args: str) -> str:
    """What it prints."""
    said, _ = start_pytest(folder, *args).communicate()
    return said


def outcomes(said: str) -> dict[str, int]:
    """{what: how many}, of pytest's last line."""
    return {what: int(count) for count, what in re.findall("([0-9]+) (passed|failed|error)", said.splitlines()[-1])}
