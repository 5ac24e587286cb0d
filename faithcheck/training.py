"""`faithcheck train`: hands a recipe to the trainer plugin that it names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from faithcheck import plugins
from faithcheck.errors import Location, UserError
from faithcheck.marked_yaml import load
from faithcheck.parameters import build

_PLAIN_EVERY = 30.0
"""Seconds between lines where the output is no terminal."""


def train(config: str, out: str) -> int:
    """Train from a recipe and print where the files are. Returns the exit code.

    The recipe has `faithcheck_train: 1`, `trainer: NAME` and that trainer's parameters. Raises UserError for a bad one.
    """
    marked = load(Path(config))
    data = dict(marked.data)
    if data.pop("faithcheck_train", None) != 1:
        raise UserError("a recipe begins with `faithcheck_train: 1`", marked.mark(()))
    name = data.pop("trainer", None)
    if not isinstance(name, str):
        raise UserError("a recipe names its trainer: `trainer: NAME`", marked.mark(()))
    try:
        cls: Any = plugins.load("trainers", name, Path(config).parent)
    except UserError as error:
        raise UserError(error.message, marked.mark(("trainer",))) from None
    locate = lambda path, key: marked.key_mark(path) if key else marked.mark(path)  # noqa: E731
    trainer = cls(build(cls, data, f"trainer {name}", locate))
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write a model there: {error.strerror}", Location(out)) from None
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        paths = trainer.train(Path(out), f"faithcheck train {config}", _Report(bar, console))
    for path in paths:
        Console().print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0


class _Report:
    """Shows training steps: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, bar: Progress, console: Console):
        self._bar, self._console = bar, console
        self._task = bar.add_task("training", total=None)
        self._start = self._said = time.perf_counter()

    def __call__(self, step: int, steps: int, text: str) -> None:
        self._bar.update(self._task, completed=step, total=steps, description=text)
        now = time.perf_counter()
        if self._bar.disable and (now - self._said > _PLAIN_EVERY or step == steps):
            left = (now - self._start) / step * (steps - step)
            self._console.print(f"step {step} of {steps}: {text}; about {left:.0f} s left", markup=False)
            self._said = now
