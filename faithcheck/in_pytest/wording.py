"""What a test that is no pass says: the plain sentence, the gated numbers, where the files are, how to do it again."""

from __future__ import annotations

import os

from faithcheck.in_pytest.sharing import SharedRun
from faithcheck.report.numbers import interval
from faithcheck.result_schema import CheckResult, MetricEntry
from faithcheck.text import visible

_ROWS = 12
_LEADS = {
    "FAIL": "",
    "INCONCLUSIVE": "INCONCLUSIVE: ",
    "ERROR": "",
    "NOT_APPLICABLE": "nothing was applicable on this task, so nothing was tested: ",
    "PASS": "",
}


def account(finding: CheckResult, run: SharedRun) -> str:
    """The text of a test that did not pass; its first line is the sentence."""
    parts = [f"{_LEADS[finding.verdict]}{one_line(finding.reason)}", _numbers(finding), _where(finding, run)]
    return visible("\n\n".join(filter(None, parts)))


def one_line(text: str) -> str:
    return " ".join(text.split())


def _where(finding: CheckResult, run: SharedRun) -> str:
    lines = [f"results:   {os.path.join(run.folder, 'result.json')}", f"reproduce: {run.command}"]
    if finding.details is not None:
        lines.insert(0, f"traceback: {os.path.join(run.folder, finding.details)}")
    return "\n".join(lines)


def _numbers(finding: CheckResult) -> str:
    """A table of the gated metrics, those that are no PASS first."""
    gated = [metric for metric in finding.metrics if metric.gate is not None]
    gated.sort(key=lambda metric: metric.verdict == "PASS")
    rows = [_row(metric) for metric in gated[:_ROWS]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(["", *map(str.ljust, row, widths)]).rstrip() for row in rows]
    left = len(gated) - len(rows)
    return "\n".join([*lines, *([f"  and {left} more in result.json"] if left else [])])


def _row(metric: MetricEntry) -> tuple[str, ...]:
    name = metric.name if metric.on is None else f"{metric.name} ({metric.on})"
    seed = "" if metric.seed is None else f"seed {metric.seed}"
    return one_line(name), seed, interval(metric), f"gate {metric.gate}", str(metric.verdict)
