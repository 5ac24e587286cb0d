"""Runs that write what a test wants found, at once, in the place of the processes that the pytest plugin starts."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from faithcheck.arguments import parser
from faithcheck.marked_yaml import parse_value
from faithcheck.result_schema import SCHEMA
from faithcheck.suite import load_suite
from faithcheck.task import find_task
from faithcheck.verdict import Verdict, exit_code

REASON = "the circuit does what {} says, in {} words"
GATED = [
    {
        "name": "error",
        "seed": 0,
        "estimate": 0.125,
        "low": 0.1,
        "high": 0.15,
        "n": 9,
        "gate": "<= 1",
        "verdict": "PASS",
    },
    {"name": "error", "seed": 1, "estimate": 4.0, "low": 3.5, "high": None, "n": 9, "gate": "<= 1", "verdict": "FAIL"},
    {"name": "size", "seed": None, "on": "far", "estimate": None, "reached": False, "gate": ">= 10", "verdict": "FAIL"},
    {"name": "not_gated", "seed": 0, "estimate": 77.0, "low": 77.0, "high": 77.0},
]


def name_of(task):
    """The name of a task, without reading its thousand lines."""
    return parse_value(re.search("^task: (.+)$", find_task(task).read_text(), re.M)[1])


class FakedRuns:
    """In the place of `process.run`. `verdicts`: {(task, check) or check: verdict}; PASS where nothing is said.

    `failure`: what the process prints instead of making a result; `said`: what it prints beside one. `code`: its exit
    code, instead of that of the result or of a bad argument. `changes`: {key: value} laid over the result. `asked`: the
    arguments of every run.
    """

    def __init__(self):
        self.verdicts, self.failure, self.code, self.said, self.changes, self.asked = {}, None, None, "", {}, []

    def __call__(self, arguments, cwd, log, keeps_open, show):
        self.asked.append(arguments)
        self.cwd = cwd
        log.write_text(self.failure or self.said)
        show("[1/1] pronoun: layernorm: PASS (0.1 s)")
        code = 2
        if self.failure is None:
            args = parser().parse_args(arguments)
            result = self._result(args) | self.changes
            (Path(args.out) / "result.json").write_text(json.dumps(result))
            code = exit_code(Verdict(result["verdict"]))
        return code if self.code is None else self.code

    def _result(self, args: argparse.Namespace):
        suite = load_suite(str(self.cwd / args.suite), args.settings).suite
        tasks = [name_of(task) for task in suite.tasks]
        checks = [self._check(task, entry.name) for task in tasks for entry in suite.checks]
        order = ["ERROR", "FAIL", "INCONCLUSIVE", "PASS", "NOT_APPLICABLE"]
        return {
            "schema": SCHEMA,
            "verdict": min((check["verdict"] for check in checks), key=order.index),
            "interrupted": False,
            "suite": {"name": suite.name},
            "method": None,
            "model": {"name": "m", "fingerprint": "f"},
            "circuits": [],
            "checks": checks,
            "environment": {},
            "timing": {"total_seconds": 0.0},
        }

    def _check(self, task, check):
        verdict = self.verdicts.get((task, check)) or self.verdicts.get(check, "PASS")
        reason = REASON.format(check, verdict)
        details = {"details": f"errors/{task}.txt"} if verdict == "ERROR" else {}
        return {"check": check, "task": task, "verdict": verdict, "reason": reason, "metrics": GATED, **details}
