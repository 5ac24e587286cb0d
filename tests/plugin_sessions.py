"""Sessions of pytest inside a test of the pytest plugin: quick ones, and runs that are faked."""

from __future__ import annotations

import functools
from pathlib import Path

import hypothesis  # noqa: F401
import pytest
import rich.console
import rich.progress
import rich.table  # noqa: F401
from faked_runs import FakedRuns
from plugin_suites import SUITE

from faithcheck import task
from faithcheck.bundled import bundled_dir
from faithcheck.in_pytest import claims, fixture, items, live, sharing  # noqa: F401
from faithcheck.task_file import read_task_file

# What is imported above would else be imported, and forgotten again, by every session inside this process.


_kept = functools.cache(read_task_file)


def bundled(path):
    return Path(path).is_relative_to(bundled_dir())


@pytest.fixture
def alone(monkeypatch):
    """No other plugin of this installation is in the sessions, so that each takes a tenth of a second."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "faithcheck.pytest_plugin")
    monkeypatch.setattr(task, "read_task_file", lambda path: (_kept if bundled(path) else read_task_file)(path))


@pytest.fixture
def faked(pytester, monkeypatch):
    """Runs that make what a test wants found; the folder has a suite, mine.yaml."""
    runs = FakedRuns()
    monkeypatch.setattr(sharing, "run", runs)
    pytester.path.joinpath("mine.yaml").write_text(SUITE)
    return runs
