"""What lies beside result.json, and what of it is gone."""

from __future__ import annotations

from faithcheck.report.reading import EvidenceLost, LoadedResult
from faithcheck.result_schema import CheckResult, EvidenceFile
from faithcheck.text import one_line


def lost_evidence(loaded: LoadedResult) -> list[str]:
    """A sentence for each evidence file that is missing, damaged, or another than when the result was written."""
    checks, circuits = loaded.data.checks, loaded.data.circuits
    named = [check.evidence for check in checks] + [circuit.evidence for circuit in circuits]
    return [sentence for evidence in named if evidence and (sentence := _lost(loaded, evidence))]


def _lost(loaded: LoadedResult, evidence: EvidenceFile) -> str:
    try:
        loaded.evidence(evidence)
    except EvidenceLost as error:
        return one_line(str(error))
    return ""


def traceback_of(loaded: LoadedResult, check: CheckResult) -> str:
    """The traceback of an ERROR as it was kept; where it has none, or the file is gone, a sentence that says so."""
    if check.details is None:
        return "no traceback was kept"
    folder = loaded.folder.resolve()
    try:
        file = (folder / check.details).resolve()
        if not file.is_relative_to(folder):
            return one_line(f"the traceback {check.details} is not beside the result")
        return file.read_text(encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError):
        return one_line(f"the traceback {check.details} is not there")
