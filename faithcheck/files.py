"""Folders made for output, and files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from faithcheck.errors import Location, UserError


def make_folder(path: Path, what: str) -> None:
    """Make a folder to write `what` to. Raises UserError where it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, what, error) from None


def cannot_write(path: Path, what: str, error: OSError) -> UserError:
    return UserError(f"cannot write {what} there: {error.strerror}", Location(str(path)))


def write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
