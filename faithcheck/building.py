"""Builds a plugin: its class, looked up, and its parameters make an instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from faithcheck import plugins
from faithcheck.errors import UserError
from faithcheck.parameters import Locate, build

PARTS = {
    "methods": ("name",),
    "checks": ("name", "scope", "gates", "measure", "sentence"),
    "families": ("name", "exercises", "decoy_method", "method_scope", "plant"),
}
"""What an instance of each group has to have."""


@contextmanager
def of_plugin(ref: str) -> Iterator[None]:
    """Whatever a plugin raises inside is a BrokenPlugin; a UserError stays one."""
    try:
        yield
    except (UserError, plugins.BrokenPlugin):
        raise
    except (Exception, SystemExit) as error:
        raise plugins.BrokenPlugin(ref, "its class", plugins.one_line(error)) from error


def build_plugin(
    group: str,
    ref: str,
    given: Mapping[str, Any],
    near: Path | None = None,
    locate: Locate = lambda path, key: None,
) -> tuple[Any, BaseModel]:
    """An instance of a plugin class, and its parameters with defaults.

    Arguments as of `plugins.load` and `parameters.build`. Raises UserError for an unknown name or unsuitable
    parameters, BrokenPlugin where the plugin cannot be imported or built, or lacks a part.
    """
    return build_class(group, ref, plugins.load(group, ref, near), given, locate)


def build_class(
    group: str,
    ref: str,
    cls: Any,
    given: Mapping[str, Any],
    locate: Locate = lambda path, key: None,
) -> tuple[Any, BaseModel]:
    """As `build_plugin`, of a class that is at hand; `ref` is what errors call it."""
    with of_plugin(ref):
        parameters = build(cls, given, f"{plugins.singular(group)} {ref}", locate)
        built = cls(parameters) if hasattr(cls, "Parameters") else cls()
        missing = [part for part in PARTS[group] if not hasattr(built, part)]
        named = {part: getattr(built, part, "") for part in ("name", "question")}
    if missing:
        raise plugins.BrokenPlugin(ref, "its class", f"it lacks {', '.join(missing)}")
    for part, words in named.items():
        if not isinstance(words, str):
            raise plugins.BrokenPlugin(ref, "its class", f"`{part}` is {words!r}, which is no text")
    return built, parameters
