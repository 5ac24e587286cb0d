"""faithcheck tests whether a circuit found in a neural network is faithful to how the model computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faithcheck.version import __version__

if TYPE_CHECKING:
    from faithcheck.api import run_suite
    from faithcheck.circuit import Circuit, NodeScores
    from faithcheck.loading import load_model
    from faithcheck.method import Problem
    from faithcheck.task import load_task

__all__ = ["Circuit", "NodeScores", "Problem", "__version__", "load_model", "load_task", "run_suite"]

_HOMES = {
    "Circuit": "faithcheck.circuit",
    "NodeScores": "faithcheck.circuit",
    "Problem": "faithcheck.method",
    "load_model": "faithcheck.loading",
    "load_task": "faithcheck.task",
    "run_suite": "faithcheck.api",
}


def __getattr__(name: str) -> Any:
    """The public API, imported when it is first used: `faithcheck --help` must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'faithcheck' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
