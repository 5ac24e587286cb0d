"""From a suite's file to tests: file, task, check. Nothing is run, and no model is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from faithcheck.errors import UserError
from faithcheck.in_pytest.items import CheckItem, TaskNode
from faithcheck.in_pytest.plan import Plan
from faithcheck.plain_errors import plain_errors
from faithcheck.plugins import BrokenPlugin
from faithcheck.references import References, check_references
from faithcheck.suite import LoadedSuite, load_suite
from faithcheck.text import one_line, visible


class SuiteFile(pytest.File):
    """The file of a suite: a `TaskNode` for each of its tasks, with a `CheckItem` for each check."""

    def collect(self) -> Iterator[TaskNode]:
        loaded, named = self._load()
        if named.method is None and self.config.getoption("faithcheck_method") is None:
            self._refuse_or_skip(f"{loaded.path}: the suite names no method: give one with --faithcheck-method")
        for place, task in enumerate(named.tasks):
            node = TaskNode.from_parent(
                self, name=one_line(task.name), task=task.name, plan=Plan(loaded, self.path, place)
            )
            node.items = list(_items(node, loaded, named))
            yield node

    def _refuse_or_skip(self, said: str) -> NoReturn:
        """A suite without a method lies beside claims, whose circuits it is for: unless it is named, it is skipped."""
        if self.session.isinitpath(self.path):
            raise self.CollectError(said)
        pytest.skip(said, allow_module_level=True)

    def _load(self) -> tuple[LoadedSuite, References]:
        """The suite with all that it names but its model. What is wrong with it is an error of collection, in words."""
        try:
            with plain_errors():
                loaded = load_suite(os.path.relpath(self.path))
                return loaded, check_references(loaded)
        except (UserError, BrokenPlugin) as error:
            raise self.CollectError(visible(str(error))) from None


def _items(node: TaskNode, loaded: LoadedSuite, named: References) -> Iterator[CheckItem]:
    for entry, resolved in zip(loaded.suite.checks, named.checks, strict=True):
        line = loaded.location("checks", entry.name, key=True).line
        check = resolved.check.name
        item: Any = CheckItem.from_parent(node, name=one_line(check), check=check, ref=entry.name, line=line)
        item.add_marker(pytest.mark.faithcheck(suite=loaded.suite.name, task=node.name, check=item.name))
        yield item
