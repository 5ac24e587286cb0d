"""The report as JUnit XML, as pytest's family xunit2 and Jenkins' junit-10 schema have it: a test case for each check
and task.

INCONCLUSIVE and FAIL are failures, ERROR is an error, NOT_APPLICABLE is skipped. Whatever makes the exit code of a run
something else than 0 is a failure or an error here: a run that was interrupted, or where nothing was applicable, has a
test case of its own. With `--allow-inconclusive`, which makes the exit code 0, INCONCLUSIVE is skipped too. Of a claim
a verdict that is the one claimed is no failure, whichever it is, one that nobody claimed is skipped, and whether the
claim holds has a test case of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from faithcheck.report.beside import lost_evidence, traceback_of
from faithcheck.report.claimed import as_claimed
from faithcheck.report.numbers import interval
from faithcheck.report.reading import LoadedResult
from faithcheck.result_schema import CheckResult, ClaimData, MetricEntry, ResultData
from faithcheck.text import one_line, visible

_OUTCOMES = {"FAIL": "failure", "INCONCLUSIVE": "failure", "ERROR": "error", "NOT_APPLICABLE": "skipped"}


def render(loaded: LoadedResult, allow_inconclusive: bool = False) -> str:
    result = loaded.data
    outcomes = _OUTCOMES | ({"INCONCLUSIVE": "skipped"} if allow_inconclusive else {})
    suites = [_task(loaded, task, outcomes) for task in dict.fromkeys(check.task for check in result.checks)]
    suites += _run(loaded, "skipped" if allow_inconclusive else "failure")
    top = Element("testsuites", {"name": "faithcheck", "time": _seconds(result.timing.total_seconds)})
    top.extend(suites)
    for kind in ("tests", "failures", "errors"):
        top.set(kind, str(sum(int(suite.get(kind, "0")) for suite in suites)))
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="utf-8", xml_declaration=True).decode() + "\n"


def _task(loaded: LoadedResult, task: str, outcomes: Mapping[str, str]) -> Element:
    """The checks of one task; its time has the extractions of its circuits in it."""
    result = loaded.data
    checks = result.checks_of(task)
    name = one_line(f"{result.suite.name}.{task}")
    cases = [_case(loaded, name, check, _outcome(result, check, outcomes)) for check in checks]
    spent = sum(case.seconds for case in result.timing.cases if case.case.startswith(f"{task}: "))
    suite = _suite(name, cases, spent)
    properties = Element("properties")
    for check in checks:
        for metric in check.metrics:
            SubElement(properties, "property", name=_metric_name(check, metric), value=_metric_value(metric))
    if len(properties):
        suite.insert(0, properties)
    return suite


def _outcome(result: ResultData, check: CheckResult, outcomes: Mapping[str, str]) -> str | None:
    if as_claimed(result.claim, check):
        return None
    usual = outcomes.get(check.verdict)
    return "skipped" if usual and result.claim and check.check not in result.claim.verdicts else usual


def _case(loaded: LoadedResult, suite: str, check: CheckResult, kind: str | None) -> Element:
    case = Element("testcase", classname=suite, name=one_line(check.check))
    case.set("time", _seconds(_time(loaded.data, check)))
    if kind:
        said = SubElement(case, kind, type=check.verdict, message=one_line(check.reason))
        traced = check.verdict == "ERROR"
        said.text = visible(traceback_of(loaded, check)) if traced else one_line(check.reason)
    gated = [metric for metric in check.metrics if metric.gate is not None]
    if gated:
        lines = [f"{_metric_name(check, metric)}: {_metric_value(metric)}" for metric in gated]
        SubElement(case, "system-out").text = "\n".join(lines)
    return case


def _run(loaded: LoadedResult, nothing: str) -> Iterator[Element]:
    """What is about the run as a whole, where there is anything: a case of the run, and one of the claim that it tested
    again. `nothing`: what it is that nothing was applicable."""
    result = loaded.data
    name = one_line(result.suite.name)
    case = Element("testcase", classname=name, name="run", time=_seconds(0))
    if result.interrupted:
        SubElement(case, "error", type="INTERRUPTED", message="the run was interrupted: some checks have no verdict")
    elif result.verdict == "NOT_APPLICABLE" and result.claim is None:
        SubElement(case, nothing, type="NOT_APPLICABLE", message="nothing was applicable, so nothing was tested")
    lost = lost_evidence(loaded)
    if lost:
        SubElement(case, "system-err").text = "\n".join(lost)
    cases = [*([case] if len(case) else []), *([] if result.claim is None else [_claim(name, result.claim)])]
    if cases:
        yield _suite(name, cases, 0)


def _claim(suite: str, claim: ClaimData) -> Element:
    case = Element("testcase", classname=suite, name="claim", time=_seconds(0))
    if not claim.holds:
        said = one_line("; ".join(objection.sentence for objection in claim.objections))
        SubElement(case, "failure", type="does not hold", message=said).text = said
    SubElement(case, "system-out").text = one_line(claim.text)
    return case


def _suite(name: str, cases: Sequence[Element], seconds: float) -> Element:
    suite = Element("testsuite", name=name, tests=str(len(cases)), time=_seconds(seconds))
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(kind) is not None for case in cases)))
    suite.extend(cases)
    return suite


def _time(result: ResultData, check: CheckResult) -> float:
    return sum(case.seconds for case in result.timing.cases if case.case == f"{check.task}: {check.check}")


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"


def _metric_name(check: CheckResult, metric: MetricEntry) -> str:
    on = "" if metric.on is None else f" on {metric.on}"
    seed = "" if metric.seed is None else f", seed {metric.seed}"
    return one_line(f"{check.check}.{metric.name}{on}{seed}")


def _metric_value(metric: MetricEntry) -> str:
    judged = "" if metric.gate is None else f", gate {metric.gate}: {metric.verdict}"
    return one_line(f"{interval(metric)}{judged}")
