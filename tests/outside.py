"""Packages of outsiders: built and installed as pip does it, used from processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_COMMANDS = """
import contextlib, io, json, sys
from faithcheck.cli import main
for args in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(args)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def install(project: Path, site: Path) -> None:
    """Build a project and put it into the folder `site`, without the network."""
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    done = python(site, "-m", "pip", "install", *options, "--target", str(site), str(project))
    assert done.returncode == 0, done.stderr


def faithcheck(site: Path, cwd: Path, *commands: list[object]) -> list[Done]:
    """What each of the command lines comes to, one after the other in one fresh interpreter."""
    done = python(site, "-c", _COMMANDS, json.dumps([[str(arg) for arg in args] for args in commands]), cwd=cwd)
    assert done.returncode == 0, done.stderr
    return [Done(*json.loads(line)) for line in done.stdout.splitlines()]


def python(site: Path, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that has `site` on its path, and what this one has."""
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, env=environment, cwd=cwd)
