"""Folders made for output, and files that are written whole or not at all."""

from __future__ import annotations

import hashlib
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


_LONGEST = 80


def file_name(name: str) -> str:
    """A name as part of a file name: other characters than letters, digits, `-` and `_` become `_`.

    A name that this changes, or that is long, ends with a digest, so that no two names share a file.
    """
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:_LONGEST]
    if safe and safe == name:
        return name
    return f"{safe}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"


def write_whole(path: Path, text: str) -> None:
    """Write a file, or leave what was there. Raises OSError."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
