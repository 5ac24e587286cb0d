"""`faithcheck report`, and the reports that `faithcheck run --report` writes."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from faithcheck.errors import Location, UserError
from faithcheck.files import cannot_write, write_whole
from faithcheck.report.formats import FILES
from faithcheck.report.reading import LoadedResult, load_result
from faithcheck.text import visible


def report(path: str, form: str, out: str | None) -> int:
    """Render a result to standard output or to the file `out`; HTML to a file always, by default beside the result.

    Raises UserError where the result cannot be read or the file not be written.
    """
    loaded = load_result(path)
    if form == "terminal" and out is None:
        _print_terminal(loaded)
        return 0
    text = render(loaded, form)
    if out is None and form != "html":
        _print(text)
    else:
        file = loaded.folder / FILES["html"] if out is None else Path(out)
        _write(loaded, file, text)
        _print(visible(f"{file}\n"))
    if form == "github":
        _summary(loaded)
    return 0


def print_of_run(folder: Path) -> None:
    """Print the report of a run that was just written to `folder`."""
    _print_terminal(load_result(folder))


def write_reports(folder: Path, forms: Iterable[str], allow_inconclusive: bool = False) -> None:
    """Write the reports of a run that was just written to `folder` there; that for GitHub is printed.

    `allow_inconclusive`: that of the run, for JUnit, which agrees with its exit code.
    """
    from faithcheck.report import junit

    loaded = load_result(folder)
    for form in dict.fromkeys(forms):
        if form == "github":
            _print(render(loaded, form))
            _summary(loaded)
        else:
            text = junit.render(loaded, allow_inconclusive) if form == "junit" else render(loaded, form)
            _write(loaded, folder / FILES[form], text)
            _print(visible(f"Report: {folder / FILES[form]}\n"))


def render(loaded: LoadedResult, form: str) -> str:
    """The text of a report in one of the formats."""
    if form == "terminal":
        from rich.console import Console

        from faithcheck.report import terminal

        shown = io.StringIO()
        terminal.render(loaded, Console(file=shown, width=100, force_terminal=False))
        return shown.getvalue()
    return str(import_module(f"faithcheck.report.{form}").render(loaded))


def _print_terminal(loaded: LoadedResult) -> None:
    """It may go to a log, which GitHub's runner reads."""
    from rich.console import Console

    from faithcheck.report import terminal
    from faithcheck.report.github import commands_off

    with commands_off():
        terminal.render(loaded, Console())


def _summary(loaded: LoadedResult) -> None:
    from faithcheck.report.github import append_summary

    append_summary(loaded)


def _print(text: str) -> None:
    """As UTF-8, whatever the terminal's encoding: XML says so of itself, and GitHub reads nothing else."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="strict")
    print(text, end="")  # noqa: T201


def _write(loaded: LoadedResult, file: Path, text: str) -> None:
    if file.is_dir():
        raise UserError("is a folder; give a file", Location(str(file)))
    if file.resolve() == (loaded.folder / "result.json").resolve():
        raise UserError("is the result itself; give another file", Location(str(file)))
    try:
        write_whole(file, text)
    except OSError as error:
        raise cannot_write(file, "the report", error) from None
