"""What tells two runs of the fixture apart: their arguments, and the content of the files that these name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from faithcheck.errors import UserError
from faithcheck.marked_yaml import load
from faithcheck.task import find_task


def stamp(words: Sequence[str], suite: Path) -> str:
    """Twelve hexadecimal digits. A test may write a suite, a method or a circuit anew and run it by the same name."""
    texts = [word.partition("=")[2] for word in words[1:]]
    named = [suite]
    with suppress(UserError):  # the run says what is wrong with the suite
        data = load(suite).data
        texts += _strings(data)
        tasks = data.get("tasks")
        named += _tasks(tasks if isinstance(tasks, list) else [], suite)
    paths = [folder / file for text in texts for file in _file(text) for folder in (suite.parent, Path())]
    contents = {str(path): _digest(path) for path in (*named, *paths) if path.is_file()}
    return hashlib.sha256(json.dumps([list(words), sorted(contents.items())]).encode()).hexdigest()[:12]


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for value in [*data, *data.values()] if isinstance(data, dict) else data:
            yield from _strings(value)


def _file(text: str) -> Iterator[str]:
    """The path in a reference: all of it, `PATH.py:NAME` or `LOADER:PATH`. Texts that can be none are left out."""
    for path in {text, text.rpartition(":")[0], text.partition(":")[2]}:
        if path and len(path) < 1000 and "\0" not in path and "\n" not in path:
            yield path


def _tasks(names: Sequence[Any], suite: Path) -> Iterator[Path]:
    for name in names:
        with suppress(UserError):
            yield find_task(str(name), suite)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
