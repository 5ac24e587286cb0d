"""Which files of a folder are claims, and what a YAML file of ours is by its keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.errors import Location, UserError
from faithcheck.marked_yaml import load

Kind = Literal["suite", "task", "claim"]
SUFFIXES = (".yaml", ".yml")


def kind_of(path: Path) -> Kind | None:
    """What a YAML file is by its keys; None where they do not tell, or it cannot be read."""
    try:
        return _kind(load(path).data)
    except UserError:
        return None


def _kind(data: Mapping[str, Any]) -> Kind | None:
    if "claim" in data or "verdicts" in data:  # first: in a folder of claims no key more makes one be passed over
        return "claim"
    if "faithcheck_task" in data:
        return "task"
    return "suite" if "checks" in data else None


def is_folder(ref: str) -> bool:
    """Whether `ref` is a folder's path; the name of a bundled suite is that suite."""
    return Path(ref).is_dir() and ref not in yaml_names(bundled_dir())


def yaml_files(folder: Path) -> list[Path]:
    """Every YAML file in a folder and the folders in it, sorted; hidden ones are left out. A link that leads nowhere is
    one of them, so that it is refused and not passed over; folders behind links are not looked into."""
    named = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    found = (path for path in named if path.is_file() or (path.is_symlink() and not path.is_dir()))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def claim_files(ref: str) -> dict[str, Path] | None:
    """{name: file} of the claims that `ref` stands for: a claim's file, or a folder. None where it is neither.

    In a folder everything but suites and tasks is taken for a claim, so that one with a slip in it is refused and not
    passed over. A name is the path inside the folder without its suffix.

    Raises UserError for a folder without any claim, and where two claims have one name.
    """
    path = Path(ref)
    if not is_folder(ref):
        return {path.stem: path} if path.suffix.lower() in SUFFIXES and kind_of(path) == "claim" else None
    named: dict[str, Path] = {}
    for file in yaml_files(path):
        if kind_of(file) in ("suite", "task"):
            continue
        name = file.relative_to(path).with_suffix("").as_posix()
        if name in named:
            raise UserError(f"two claims are called {name!r}: {named[name].name} and {file.name}", Location(ref))
        named[name] = file
    if not named:
        raise UserError("no claim in this folder; a claim is a YAML file with the key verdicts", Location(ref))
    return named
