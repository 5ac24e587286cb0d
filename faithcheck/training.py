"""`faithcheck train`: hands a recipe to the trainer plugin that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from faithcheck import plugins
from faithcheck.errors import UserError
from faithcheck.files import make_folder
from faithcheck.marked_yaml import load
from faithcheck.parameters import build
from faithcheck.progress import Count


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
    make_folder(Path(out), "a model")
    with Count(Console(stderr=True), "training") as count:
        paths = trainer.train(Path(out), f"faithcheck train {config}", count.show)
    for path in paths:
        Console().print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0
