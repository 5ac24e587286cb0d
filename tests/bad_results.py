"""Files that are no result.json of this version, and what the refusal of each must say."""

from __future__ import annotations

import json

from results import check, circuit, metric, result


def changed(**more):
    """A result with other values in place of its own; None takes a key away."""
    data = result([check("FAIL")], [circuit()]) | more
    return json.dumps({key: value for key, value in data.items() if value is not None})


def changed_in(part, **more):
    data = result([check("FAIL")], [circuit()])
    entry = data[part][0] if isinstance(data[part], list) else data[part]
    entry |= more
    return json.dumps(data)


def with_metric(**more):
    return changed(checks=[check("FAIL", metrics=[metric(verdict="FAIL") | more])])


GOOD = changed()

BAD = {
    "empty": ("", "is not JSON"),
    "truncated": (GOOD[: len(GOOD) // 2], "is not JSON"),
    "two results": (GOOD + GOOD, "is not JSON"),
    "huge nesting": ("[" * 100_000, "is not JSON"),
    "huge number": ('{"schema": ' + "9" * 10_000 + "}", "is not JSON"),
    "NaN": (with_metric(estimate=0.5).replace("0.5", "NaN"), "NaN"),
    "Infinity": (with_metric(estimate=0.5).replace("0.5", "-Infinity"), "-Infinity"),
    "a number beyond floats": (with_metric(estimate=0.5).replace("0.5", "1e999"), "checks.0.metrics.0.estimate"),
    "a whole number beyond floats": (with_metric(estimate=10**400), "checks.0.metrics.0.estimate"),
    "a list": ("[]", "no schema"),
    "a text": ('"faithcheck.result/1"', "no schema"),
    "no schema": (changed(schema=None), "no schema"),
    "a number as schema": (changed(schema=1), "no schema"),
    "a later schema": (changed(schema="faithcheck.result/2"), "'faithcheck.result/2'"),
    "another's schema": (changed(schema="other\n\x1b[31m/1" + "x" * 1000), "'other\\n\\x1b[31m/1"),
    "no checks": (changed(checks=None), "checks: Field required"),
    "no suite": (changed(suite=None), "suite: Field required"),
    "checks that are a mapping": (changed(checks={}), "checks"),
    "an unknown verdict": (changed_in("checks", verdict="OK"), "checks.0.verdict"),
    "a verdict that is not that of the checks": (changed(verdict="PASS"), "PASS is not that of the checks, FAIL"),
    "two answers to one question": (changed(checks=[check("FAIL"), check("PASS")]), "'sufficiency' stands there twice"),
    "an interrupted run that passed": (
        changed(checks=[check("PASS")], verdict="PASS", interrupted=True),
        "PASS is not that of the checks, INCONCLUSIVE",
    ),
    "a truth value as seed": (changed_in("circuits", seed=True), "circuits.0.seed"),
    "a text as a number": (with_metric(estimate="0.5"), "checks.0.metrics.0.estimate"),
    "a truth value as a number": (with_metric(estimate=True), "checks.0.metrics.0.estimate"),
    "a number as a truth value": (changed_in("circuits", reached=1), "circuits.0.reached"),
    "a number as text": (changed_in("checks", reason=3), "checks.0.reason"),
    "a fraction of nodes": (changed_in("circuits", size=1.5), "circuits.0.size"),
    "fewer than no nodes": (changed_in("circuits", size=-1), "circuits.0.size"),
    "a gate without a verdict": (with_metric(verdict=None), "a gate and a verdict, or neither"),
    "time that runs backwards": (changed(timing={"total_seconds": -1.0}), "timing.total_seconds"),
    "a line before the first": (
        changed_in("suite", checks=[{"name": "x", "lines": {"a\nb": 0}}]),
        "suite.checks.0.lines.a\\nb",
    ),
    "seeds in words": (changed_in("suite", seeds="six"), "suite.seeds"),
}
