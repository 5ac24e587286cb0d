"""The report as GitHub-flavoured Markdown, for a comment on a pull request, a step summary or a README."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from faithcheck.report.beside import lost_evidence
from faithcheck.report.markdown_text import code, plain
from faithcheck.report.numbers import span
from faithcheck.report.reading import LoadedResult
from faithcheck.report.tables import CIRCUITS, circuit_rows, gated_metrics, verdict_table
from faithcheck.result_schema import CheckResult, ResultData
from faithcheck.text import counted


def render(loaded: LoadedResult) -> str:
    """The verdict, a table of checks and tasks, a sentence for each that is no PASS, gated metrics, circuits."""
    result = loaded.data
    parts = [
        f"## faithcheck: {_verdict(result.verdict)}, suite {code(result.suite.name)}",
        _about(result),
        *_remarks(result),
        _verdicts(result),
        _bullets(_sentence(check) for check in result.checks if check.verdict != "PASS"),
        _bullets(plain(sentence) for sentence in lost_evidence(loaded)),
        *_gated(result),
        *_circuits(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def cut(text: str, limit: int) -> str:
    """The first lines of a report, with a note where any are left out; at most `limit` bytes of UTF-8.

    Empty where not even the note has room.
    """
    if len(text.encode()) <= limit:
        return text
    note = "\n\nThe rest of the report is left out here: it is too long.\n"
    room = limit - len(note.encode())
    kept = text.encode()[: max(room, 0)].decode(errors="ignore")
    return kept[: kept.rfind("\n") + 1].rstrip("\n") + note if room >= 0 else ""


def _about(result: ResultData) -> str:
    method = f"Method {code(result.method.name)} on model" if result.method else "A given circuit, on model"
    seeds = {circuit.seed for circuit in result.circuits} - {None}
    tried = f"; {counted(len(seeds), 'seed')}" if seeds else ""
    return f"{method} {code(result.model.name)}{tried}; {result.timing.total_seconds:.0f} s."


def _remarks(result: ResultData) -> Iterator[str]:
    if result.interrupted:
        yield "The run was **interrupted**: here is what was finished."
    if result.claim is not None:
        yield f"Claim {'holds' if result.claim.holds else '**does not hold**'}: {plain(result.claim.text)}"
        yield _bullets(plain(objection.sentence) for objection in result.claim.objections)
    if result.verdict == "NOT_APPLICABLE":
        yield "Nothing was applicable, so nothing was tested."


def _verdicts(result: ResultData) -> str:
    tasks, rows = verdict_table(result)
    body = [[code(name), *("" if verdict is None else _verdict(verdict) for verdict in row)] for name, row in rows]
    return _table(["check", *map(code, tasks)], body)


def _sentence(check: CheckResult) -> str:
    traceback = "" if check.details is None else f" (traceback: {code(check.details)})"
    return f"{_verdict(check.verdict)} {code(check.task)}, {code(check.check)}: {plain(check.reason)}{traceback}"


def _gated(result: ResultData) -> list[str]:
    rows = [
        [
            code(row.check.task),
            code(row.check.check),
            code(row.entries[0].name) + (f" on {code(row.entries[0].on)}" if row.entries[0].on is not None else ""),
            code(row.entries[0].gate or ""),
            plain(span(row.entries)),
            row.verdicts,
        ]
        for row in gated_metrics(result)
    ]
    about = "Estimates of all circuits, with the outermost limits of their 95 % intervals."
    return ["### Gated metrics", about, _table(_GATED, rows)] if rows else []


_GATED = ("task", "check", "metric", "gate", "estimate", "verdict")


def _circuits(result: ResultData) -> list[str]:
    rows = [[code(task), *numbers] for task, *numbers in circuit_rows(result)]
    return ["### Circuits", _table(CIRCUITS, rows)] if rows else []


def _verdict(verdict: str) -> str:
    """Bold where something is wrong; `NOT_APPLICABLE` has an underscore."""
    return f"**{verdict}**" if verdict in ("FAIL", "ERROR") else plain(verdict)


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""
