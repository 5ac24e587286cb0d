"""Finds methods, models and checks: by entry point, or in a file. Nothing is imported until it is loaded."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

from faithcheck.errors import UserError, did_you_mean

GROUPS = ("methods", "models", "checks", "trainers", "families")
LISTED = ("methods", "models", "checks")
"""The groups that `faithcheck list` shows."""
_SHORT_LIST = 10


@dataclass(frozen=True)
class Entry:
    """An entry point: its name, the distribution that declares it, and what it points to (`module:attr`)."""

    name: str
    package: str
    value: str

    def __str__(self) -> str:
        return f"{self.package}/{self.name}"


class BrokenPlugin(Exception):
    """A plugin that cannot be imported or built. Carries its name, package (or file) and the reason in one line."""

    def __init__(self, name: str, package: str, reason: str):
        super().__init__(f"{name} (from {package}) cannot be used: {reason}")
        self.name = name
        self.package = package
        self.reason = reason


def names(group: str) -> list[Entry]:
    """Every installed plugin of a group (`methods`, `models`, `checks`), sorted; imports none of them."""
    found = entry_points(group=f"faithcheck.{group}")
    entries = {Entry(e.name, e.dist.name if e.dist else "unknown", e.value) for e in found}
    return sorted(entries, key=lambda entry: (entry.name, entry.package))


def load(group: str, ref: str, near: Path | None = None) -> object:
    """What `NAME`, `PACKAGE/NAME` or `path/to/file.py:Attr` stands for.

    A relative path is looked for in the folder `near` (a suite's, say) before the working directory.

    Raises:
        UserError: an unknown or ambiguous name, no such file or attribute.
        BrokenPlugin: importing the plugin raised.
    """
    if ".py:" in ref or ref.endswith(".py"):
        return _from_file(group, ref, near)
    return _import(find(group, ref))


def find(group: str, ref: str) -> Entry:
    """The entry that `NAME` or `PACKAGE/NAME` stands for, not imported. Raises UserError as `load` does."""
    known = names(group)
    package, _, name = ref.rpartition("/")
    matching = [e for e in known if e.name == name and package in ("", e.package)]
    if not matching:
        raise UserError(_unknown(group, ref, known))
    if len(matching) > 1:
        choices = " or ".join(str(entry) for entry in matching)
        raise UserError(f"{singular(group)} {ref!r} is in several packages; write {choices}")
    return matching[0]


def describe(group: str) -> list[tuple[Entry, str | None, str | None]]:
    """Every plugin of a group, imported: entry, first line of its docstring, why it is broken if it is."""
    return [(entry, *_describe(entry)) for entry in names(group)]


def _describe(entry: Entry) -> tuple[str | None, str | None]:
    try:
        doc = getattr(_import(entry), "__doc__", None)
    except BrokenPlugin as error:
        return None, error.reason
    except Exception as error:  # a class may make its docstring, and fail
        return None, one_line(error)
    lines = doc.strip().splitlines() if isinstance(doc, str) else []
    return (lines[0] if lines else None), None


def _import(entry: Entry) -> object:
    try:
        loaded: object = EntryPoint(name=entry.name, value=entry.value, group="").load()
        return loaded
    except (Exception, SystemExit) as error:
        raise BrokenPlugin(entry.name, entry.package, one_line(error)) from error


def _from_file(group: str, ref: str, near: Path | None) -> object:
    file, _, attribute = ref.rpartition(":")
    if not file.endswith(".py") or not attribute:
        raise UserError(f"{singular(group)} {ref!r}: expected path/to/file.py:NAME")
    places = [near / file] if near else []
    path = next((place for place in [*places, Path(file)] if place.is_file()), None)
    if path is None:
        raise UserError(f"{singular(group)} {ref!r}: no such file: {file}")
    module = _module(path, ref)
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        hint = did_you_mean(attribute, public)
        raise UserError(f"{singular(group)} {ref!r}: {file} has no {attribute!r}{hint}")
    found: object = getattr(module, attribute)
    return found


def _module(path: Path, ref: str) -> ModuleType:
    """The file as a module, executed once; a change of the file makes it another module."""
    try:
        digest = hashlib.sha256(str(path.resolve()).encode() + b"\0" + path.read_bytes()).hexdigest()
        name = f"faithcheck_file_{path.stem}_{digest[:12]}"
        return sys.modules.get(name) or _execute(path, name)
    except (Exception, SystemExit) as error:
        raise BrokenPlugin(ref, str(path), one_line(error)) from error


def _execute(path: Path, name: str) -> ModuleType:
    loader = SourceFileLoader(name, str(path))
    module = module_from_spec(ModuleSpec(name, loader, origin=str(path)))
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _unknown(group: str, ref: str, known: Sequence[Entry]) -> str:
    long = len(known) > _SHORT_LIST and group in LISTED
    listed = f"`faithcheck list {group}` names all" if long else f"known: {', '.join(e.name for e in known) or 'none'}"
    return f"unknown {singular(group)} {ref!r}; {listed}{nearest(ref, known)}"


def nearest(ref: str, known: Sequence[Entry], others: Sequence[str] = ()) -> str:
    """The nearest of the plugins and of other names, as `did_you_mean` says it; one of the same name in another package
    before any other."""
    package, _, name = ref.rpartition("/")
    same = [str(entry) for entry in known if package and entry.name == name]
    if same:
        return f"; did you mean {' or '.join(map(repr, same))}?"
    return did_you_mean(ref, [*(entry.name for entry in known), *(map(str, known) if package else []), *others])


def singular(group: str) -> str:
    return "family" if group == "families" else group.removesuffix("s")


def one_line(error: BaseException) -> str:
    """`TypeError: the first line of its message`; an error that has no message, or cannot say it, is its name."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:
        lines = []
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
