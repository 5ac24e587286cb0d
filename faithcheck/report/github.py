"""The report for GitHub Actions: annotations on the lines of the suite's file, as commands to the runner, and a step
summary.

The syntax is that of GitHub's documentation, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faithcheck.errors import Location, UserError
from faithcheck.report import markdown
from faithcheck.report.beside import lost_evidence
from faithcheck.report.reading import LoadedResult
from faithcheck.result_schema import CheckResult, ClaimData, ResultData
from faithcheck.text import one_line

MOST_OF_A_KIND = 10
"""How many errors, warnings and notices of a step GitHub shows, each."""

SUMMARY_BYTES = 1024 * 1024
"""How long a step summary may be: a longer one is not shown at all."""

_KINDS = {"ERROR": "error", "FAIL": "error", "INCONCLUSIVE": "warning", "NOT_APPLICABLE": "notice"}


@dataclass(frozen=True)
class Annotation:
    """`line` None: it is about no line of a file."""

    kind: str
    title: str
    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = {} if self.file is None or self.line is None else {"file": self.file, "line": str(self.line)}
        named = {**place, "title": self.title}
        settings = ",".join(f"{key}={_escaped(one_line(value), ':,')}" for key, value in named.items())
        return f"::{self.kind} {settings}::{_escaped(one_line(self.message))}"


def render(loaded: LoadedResult) -> str:
    """Commands to the runner, a line each; empty where everything passed."""
    return commands([*_of_the_run(loaded), *_of_checks(loaded.data)])


def commands(found: list[Annotation]) -> str:
    """Errors first, then warnings, then notices, and no more of each than GitHub shows."""
    lines = [str(annotation) for kind in ("error", "warning", "notice") for annotation in _shown(found, kind)]
    return "".join(f"{line}\n" for line in lines)


def append_summary(loaded: LoadedResult, environment: Mapping[str, str] = os.environ) -> None:
    """Append the Markdown report to the step summary; as `append_text`."""
    append_text(markdown.render(loaded), environment)


def append_text(text: str, environment: Mapping[str, str] = os.environ) -> None:
    """Append Markdown to the step summary, `$GITHUB_STEP_SUMMARY`; nothing where there is none.

    Raises UserError where it cannot be written.
    """
    name = environment.get("GITHUB_STEP_SUMMARY")
    if not name:
        return
    file = Path(name)
    try:
        there = file.stat().st_size if file.exists() else 0
        with file.open("a", encoding="utf-8", newline="\n") as summary:
            summary.write(markdown.cut("\n" * (there > 0) + text, SUMMARY_BYTES - there))
    except OSError as error:
        reason = f"$GITHUB_STEP_SUMMARY: cannot write the step summary there: {error.strerror}"
        raise UserError(reason, Location(name)) from None


@contextmanager
def commands_off(environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """In GitHub Actions nothing that is printed inside is a command to the runner, however a line of it begins."""
    if environment.get("GITHUB_ACTIONS") != "true":
        yield
        return
    end = secrets.token_hex(16)
    print(f"::stop-commands::{end}", flush=True)  # noqa: T201  what goes to standard error comes after it
    try:
        yield
    finally:
        print(f"::{end}::", flush=True)  # noqa: T201


def _of_the_run(loaded: LoadedResult) -> Iterator[Annotation]:
    title = f"suite {loaded.data.suite.name}"
    if loaded.data.interrupted:
        yield Annotation("error", title, "the run was interrupted: some checks have no verdict")
    if loaded.data.claim is not None:
        yield from _of_a_claim(loaded.data.claim)
    elif loaded.data.verdict == "NOT_APPLICABLE":
        yield Annotation("warning", title, "nothing was applicable, so nothing was tested")
    for sentence in lost_evidence(loaded):
        yield Annotation("notice", title, sentence)


def _of_a_claim(claim: ClaimData) -> Iterator[Annotation]:
    """An error for each objection, on the line of the claim's file that it is about."""
    for objection in claim.objections:
        yield Annotation(
            "error", "the claim does not hold", objection.sentence, in_the_repository(claim.file), objection.line
        )


def _of_checks(result: ResultData) -> Iterator[Annotation]:
    """The worst first; none of a claim, where a verdict is right or wrong by what is claimed."""
    if result.claim is not None:
        return
    file = None if result.suite.file is None else in_the_repository(result.suite.file)
    for verdict, kind in _KINDS.items():
        for check in result.checks:
            if check.verdict == verdict:
                title = f"{check.check} on {check.task}: {verdict}"
                yield Annotation(kind, title, check.reason, file, _line(result, check))


def _line(result: ResultData, check: CheckResult) -> int | None:
    """Of the gate that decided, else of the check; None where `--set` gave it, or the suite is a bundled one."""
    lines = next((asked.lines for asked in result.suite.checks if asked.name == check.check), {})
    deciding = next((m.name for m in check.metrics if m.verdict is not None and m.verdict == check.verdict), "")
    return lines.get(deciding)


def in_the_repository(file: str, environment: Mapping[str, str] = os.environ) -> str:
    """The path of a file as GitHub wants it, from the top of the repository; as it is where it is not in there."""
    top = environment.get("GITHUB_WORKSPACE")
    path = Path(file)
    if not top or not path.exists():
        return file
    try:
        return path.resolve().relative_to(Path(top).resolve()).as_posix()
    except ValueError:
        return file


def _shown(found: list[Annotation], kind: str) -> list[Annotation]:
    own = [annotation for annotation in found if annotation.kind == kind]
    if len(own) <= MOST_OF_A_KIND:
        return own
    left_out = len(own) - MOST_OF_A_KIND + 1
    more = Annotation(kind, "faithcheck", f"and {left_out} more: GitHub shows {MOST_OF_A_KIND} of a kind in a step")
    return [*own[: MOST_OF_A_KIND - 1], more]


def _escaped(text: str, also: str = "") -> str:
    """`%`, which the runner decodes, and what would end a command or, of `also`, one of its settings."""
    for character in ("%", "\r", "\n", *also):
        text = text.replace(character, f"%{ord(character):02X}")
    return text
