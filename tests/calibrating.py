"""`faithcheck calibrate` on the small families of `stub_families`, in this process."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

import pytest
from stub_families import family

from faithcheck.calibration import running
from faithcheck.cli import main


@contextmanager
def one_worker():
    """One worker, which is no process of its own: these instances are smaller than what it takes to start one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "cores", lambda: 1)
        # A setting that the command makes for its workers, undone here.
        patch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
        yield


def run(out, *families, checks=("layernorm",), instances=4):
    """The exit code, the JSON and the Markdown of one command."""
    named = [word for name in families for word in ("--family", family(name))]
    checked = [word for name in checks for word in ("--check", name)]
    code = main(["calibrate", "--instances", str(instances), *named, *checked, "--out", str(out)])
    return code, json.loads((out / "calibration.json").read_text()), (out / "calibration.md").read_text()


def figures_of(data, check="layernorm"):
    [row] = [row for row in data["tables"]["requirements"] if row["check"] == check]
    return {figure["name"]: (figure["k"], figure["n"], figure["met"]) for figure in row["figures"]}
