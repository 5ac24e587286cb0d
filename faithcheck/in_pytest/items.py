"""The tests of a suite: one for each task and check. Those of a task share one run, made when the first is set up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import pytest

from faithcheck.errors import UserError
from faithcheck.files import file_name
from faithcheck.in_pytest.plan import Plan
from faithcheck.in_pytest.sharing import NoResult, SharedRun, session_of
from faithcheck.in_pytest.wording import account, one_line
from faithcheck.result_schema import CheckResult
from faithcheck.text import visible
from faithcheck.verdict import Verdict


class TaskNode(pytest.Collector):
    """A task of a suite. `task` is its name there, `name` that of a test."""

    def __init__(self, *, task: str, plan: Plan, **given: Any):
        super().__init__(**given)
        self.task, self.plan = task, plan
        self.items: Sequence[CheckItem] = ()

    def collect(self) -> Sequence[CheckItem]:
        return self.items

    @cached_property
    def selected(self) -> list[CheckItem]:
        """Its tests that this session runs, which are the same in all workers; in the suite's order."""
        running = set(self.session.items)
        return [item for item in self.items if item in running]

    def run(self) -> SharedRun:
        """The run of the selected checks. Raises NoResult or UserError."""
        session = session_of(self.config)
        method = self.config.getoption("faithcheck_method")
        arguments = self.plan.arguments(session.cwd, method, [item.ref for item in self.selected])
        return session.run(session.folder(self.path) / file_name(self.task), arguments)

    def finding(self, check: str) -> CheckResult:
        """What the run found for a check, by the name that the check calls itself. Raises NoResult or UserError."""
        for found in self.run().checks:
            if (found.check, found.task) == (check, self.task):
                return found
        raise NoResult(f"the run has no verdict of {check} on {self.task}: has {self.path.name} changed since?")

    def nothing_applies(self) -> bool:
        return self.run().verdict is Verdict.NOT_APPLICABLE


class CheckItem(pytest.Item):
    """A check on a task. `check` is what it calls itself, `ref` what the suite calls it."""

    parent: TaskNode

    def __init__(self, *, check: str, ref: str, line: int | None, **given: Any):
        super().__init__(**given)
        self.check, self.ref, self._line = check, ref, line

    def reportinfo(self) -> tuple[Path, int | None, str]:
        line = None if self._line is None else self._line - 1
        return self.path, line, f"{self.parent.name}: {self.name} ({self.path.name})"

    def setup(self) -> None:
        """Makes the run, or waits for it. An ERROR, and a run without a result, are errors of pytest too."""
        if self.config.getoption("setuponly", False):
            return
        finding = self._finding()
        if isinstance(finding, str):
            fail(finding)
        lenient = self.config.getoption("faithcheck_allow_inconclusive")
        match Verdict(finding.verdict):
            case Verdict.ERROR:
                fail(account(finding, self.parent.run()))
            case Verdict.NOT_APPLICABLE if lenient or not self._speaks_for_all():
                self._skip(one_line(finding.reason))
            case Verdict.INCONCLUSIVE if lenient:
                self._skip(f"INCONCLUSIVE: {one_line(finding.reason)}")

    def runtest(self) -> None:
        finding = self.parent.finding(self.check)
        if finding.verdict != Verdict.PASS:
            fail(account(finding, self.parent.run()))

    def _finding(self) -> CheckResult | str:
        """What the run found; or why there is no result."""
        try:
            return self.parent.finding(self.check)
        except (NoResult, UserError) as error:
            return visible(str(error))

    def _speaks_for_all(self) -> bool:
        """Whether nothing at all applies to the task, which one of its tests has to say: all skipped would pass."""
        return self.parent.nothing_applies() and self.parent.selected[0] is self

    def _skip(self, reason: str) -> NoReturn:
        raise pytest.skip.Exception(visible(reason), _use_item_location=True)


def fail(text: str) -> NoReturn:
    """Fail a test that is no Python: no traceback says more than its text."""
    pytest.fail(text, pytrace=False)
