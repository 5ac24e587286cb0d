"""What of a result stands in which row and column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faithcheck.report.numbers import sizes
from faithcheck.result_schema import CheckResult, MetricEntry, ResultData, VerdictName
from faithcheck.verdict import WORST_FIRST, Verdict


def verdict_table(result: ResultData) -> tuple[list[str], list[tuple[str, list[VerdictName | None]]]]:
    """The tasks, and for each check its verdict on each of them; None where it has none."""
    tasks = list(dict.fromkeys(check.task for check in result.checks))
    given = {(check.check, check.task): check.verdict for check in result.checks}
    names = dict.fromkeys(check.check for check in result.checks)
    return tasks, [(name, [given.get((name, task)) for task in tasks]) for name in names]


CIRCUITS = ("task", "circuits", "target reached", "nodes", "edges", "validation loss")
"""What stands in a row of `circuit_rows`."""


def circuit_rows(result: ResultData) -> list[tuple[str, ...]]:
    """The circuits of each task together: how many, and from the least to the most of what they have."""
    rows: list[tuple[str, ...]] = []
    for task in dict.fromkeys(circuit.task for circuit in result.circuits):
        own = result.circuits_of(task)
        reached = f"{sum(circuit.reached for circuit in own)} of {len(own)}"
        rows.append((task, str(len(own)), reached, *sizes(own)))
    return rows


@dataclass(frozen=True)
class Gated:
    """A gated metric of one check on one task: its entries, one a circuit or one for all."""

    check: CheckResult
    entries: Sequence[MetricEntry]

    @property
    def verdicts(self) -> str:
        """`FAIL`, or `2 FAIL, 4 PASS`, the worst first."""
        found = [Verdict(entry.verdict) for entry in self.entries if entry.verdict]
        kinds = [verdict for verdict in (*WORST_FIRST, Verdict.NOT_APPLICABLE) if verdict in found]
        return kinds[0].value if len(found) == 1 else ", ".join(f"{found.count(kind)} {kind}" for kind in kinds)


def gated_metrics(result: ResultData) -> list[Gated]:
    rows: list[Gated] = []
    for check in result.checks:
        gated = [metric for metric in check.metrics if metric.gate is not None]
        kinds = dict.fromkeys((metric.name, metric.on, metric.gate) for metric in gated)
        rows += [Gated(check, [m for m in gated if (m.name, m.on, m.gate) == kind]) for kind in kinds]
    return rows
