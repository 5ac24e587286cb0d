"""Writes what `faithcheck init` is asked for, and says what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from faithcheck.errors import Location, UserError
from faithcheck.files import cannot_write, make_folder
from faithcheck.scaffold.names import checked, class_name, package_name
from faithcheck.scaffold.rendering import render_file, render_folder
from faithcheck.text import visible

KINDS = ("method", "suite", "task", "claim")


def init(kind: str, name: str, folder: str, result: str | None = None) -> int:
    """Write a new method, suite, task or claim called `name` into `folder`; a claim says what `result`, a result.json
    or its folder, found. Returns the exit code.

    Raises UserError for a name that cannot be used, and where something would be overwritten or cannot be written.
    """
    name = checked(kind, name)
    if (kind == "claim") is (result is None):
        raise UserError("--result RESULT is what a claim is made from: `faithcheck init claim NAME --result RESULT`")
    if result is not None:
        written, following = _claim(name, Path(folder), result)
    else:
        written, following = _method(name, Path(folder)) if kind == "method" else _file(kind, name, Path(folder))
    for path in written:
        _say(f"wrote {path}")
    _say("next:")
    for command in following:
        _say(f"  {command}")
    return 0


def _method(name: str, folder: Path) -> tuple[list[Path], list[str]]:
    """The files of a method's package, and the commands that install, test and run it."""
    root = folder / name
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError("already there, and nothing is overwritten; take another name or --dir", Location(str(root)))
    cls = class_name(name)
    files = render_folder("method", {"name": name, "class_name": cls, "package": package_name(name)})
    written = _write(root, files)
    place = shlex.quote(str(root))
    source = shlex.quote(f"{root / 'src' / name}.py:{cls}")
    return written, [
        f"faithcheck run quick --method {source}   # without installing it",
        f"pip install -e {place}",
        f"pytest {place}",
        f"faithcheck run quick --method {name}",
    ]


def _file(kind: str, name: str, folder: Path) -> tuple[list[Path], list[str]]:
    """The one file of a suite or a task, and the commands that check and run it."""
    path = folder / f"{name}.yaml"
    _write(folder, {PurePosixPath(path.name): render_file(f"{kind}.yaml", {"name": name})})
    place = shlex.quote(str(path))
    if kind == "suite":
        return [path], [f"faithcheck validate {place}", f"faithcheck run {place}"]
    tasks = shlex.quote(f"tasks=[{path}]")
    return [path], [f"faithcheck show {place}", f"faithcheck run quick --model stories-tiny --set {tasks}"]


def _claim(name: str, folder: Path, result: str) -> tuple[list[Path], list[str]]:
    """A claim's file with its circuit beside it, and the command that tests it."""
    from faithcheck.claims.writing import claim_of

    values, circuit = claim_of(result, folder)
    path, copy = folder / f"{name}.yaml", folder / f"{name}.safetensors"
    text = render_file("claim.yaml", {**values, "circuit": copy.name})
    if copy.exists():
        raise UserError("already there, and nothing is overwritten", Location(str(copy)))
    written = _write(folder, {PurePosixPath(path.name): text})
    try:
        copy.write_bytes(circuit)
    except OSError as error:
        raise cannot_write(copy, "the circuit", error) from None
    return [*written, copy], [f"faithcheck run {shlex.quote(str(path))}"]


def _write(root: Path, files: Mapping[PurePosixPath, str]) -> list[Path]:
    """Raises UserError where a file is there already, or cannot be written."""
    written = []
    for inside, text in files.items():
        path = root / inside
        make_folder(path.parent, "files")
        try:
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except FileExistsError:
            raise UserError("already there, and nothing is overwritten", Location(str(path))) from None
        except OSError as error:
            raise cannot_write(path, "files", error) from None
        written.append(path)
    return written


def _say(line: str) -> None:
    print(visible(line))  # noqa: T201
