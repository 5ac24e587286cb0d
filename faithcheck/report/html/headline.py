"""What stands at the top of the page: the verdict in a sentence."""

from __future__ import annotations

from collections import Counter

from faithcheck.result_schema import ResultData, VerdictName
from faithcheck.text import counted

_DID: dict[VerdictName, str] = {
    "ERROR": "ended in an error",
    "FAIL": "failed",
    "INCONCLUSIVE": "stayed inconclusive",
    "PASS": "passed",
    "NOT_APPLICABLE": "did not apply",
}


def sentence(data: ResultData) -> str:
    """How many checks came to what, the verdict's own first."""
    tasks, checks = asked(data)
    total = len(tasks) * len(checks) if data.interrupted else len(data.checks)
    counts, never = Counter(entry.verdict for entry in data.checks), total - len(data.checks)
    stop = f" {never} not finished: the run was interrupted." if data.interrupted else ""
    if not data.checks:
        return f"No check gave an answer.{stop}"
    first, *rest = [(counts[verdict], did) for verdict, did in _DID.items() if counts[verdict]]
    parts = [f"{first[0]} of {counted(total, 'check')} {first[1]}", *(f"{count} {did}" for count, did in rest)]
    return f"{'; '.join(parts)}.{stop}"


def asked(data: ResultData) -> tuple[list[str], list[str]]:
    """The tasks and the checks of the run, also those that an interrupted one did not come to."""
    tasks = [circuit.task for circuit in data.circuits] + [entry.task for entry in data.checks]
    checks = [entry.check for entry in data.checks]
    if data.interrupted:
        tasks += [task.name for task in data.suite.tasks]
        checks = [check.name for check in data.suite.checks] + checks
    known = [task.name for task in data.tasks if task.name in tasks]
    return list(dict.fromkeys([*known, *tasks])), list(dict.fromkeys(checks))


def everywhere(data: ResultData) -> str:
    """The checks that have the run's verdict on all of several tasks; empty for a PASS."""
    verdicts: dict[str, list[str]] = {}
    for entry in data.checks:
        verdicts.setdefault(entry.check, []).append(entry.verdict)
    tasks = max(len(asked(data)[0]), 2)
    same = [name for name, found in verdicts.items() if found == [data.verdict] * tasks]
    if not same or data.verdict == "PASS":
        return ""
    return f"{', '.join(same)}: {data.verdict.replace('_', ' ')} on every task."


def seeds(data: ResultData) -> str:
    """Which; or that the circuits were given, so that no seed of the suite was used for them."""
    if any(circuit.seed is None for circuit in data.circuits):
        return "none, a given circuit"
    given = data.suite.seeds
    if isinstance(given, list):
        return ", ".join(map(str, given))
    return f"{given} (0 to {given - 1})" if given > 1 else str(given)


def facts(data: ResultData) -> list[tuple[str, str]]:
    """When, with what and on what it ran, and how long it took."""
    known = ("faithcheck", "torch", "device", "machine")
    seconds = data.timing.total_seconds
    took = f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
    ran = [("started", data.timing.started)] if data.timing.started else []
    return ran + [(key, str(data.environment[key])) for key in known if key in data.environment] + [("took", took)]
