"""The pytest plugin: what every session has. The rest is imported when a suite or claim is collected or the fixture is
used."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from faithcheck.in_pytest.fixture import Runs

    Collected = list[pytest.Item | pytest.Collector]

SESSION = pytest.StashKey[str]()
"""What tells a session from all others. It is the same in all its workers."""
_LOOKED_AT = 1 << 20
"""Bytes of a YAML file that are looked at to see whether it is one of ours."""
_KEY = re.compile(rb"""["']?\b(faithcheck|verdicts)["']?[ \t]*:""")
_MARK = (
    "faithcheck(suite, task, check) or faithcheck(claim): a check of a faithcheck suite, a claim, or a test that uses "
    "the fixture `faithcheck`"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faithcheck", "suites and claims of faithcheck")
    group.addoption("--faithcheck-method", metavar="REF", help="extraction method, instead of that of each suite")
    group.addoption("--faithcheck-out", metavar="DIR", default="faithcheck-results/pytest",
                    help="folder for the results (default: faithcheck-results/pytest)")  # fmt: skip
    group.addoption("--faithcheck-allow-inconclusive", action="store_true",
                    help="skip what is INCONCLUSIVE, or not applicable at all, instead of failing")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARK)
    of_worker = getattr(config, "workerinput", {})
    config.stash[SESSION] = of_worker.get("faithcheck_session") or os.urandom(16).hex()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hands the session on to a worker of pytest-xdist. Its own `testrunuid` can be given, to the same every time."""
    node.workerinput["faithcheck_session"] = node.config.stash[SESSION]


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, Collected, Collected]:
    """Collects suites and claims. A YAML file that is named and that no plugin collects is refused in words."""
    found = yield
    if file_path.suffix not in (".yaml", ".yml"):
        return found
    named = not found and parent.session.isinitpath(file_path)
    if not named and not _may_be_ours(file_path):
        return found
    from faithcheck.in_pytest.kinds import node_of

    node = node_of(parent, file_path, named)
    return found if node is None else [*found, node]


def _may_be_ours(path: Path) -> bool:
    """Whether one of our keys stands anywhere in a file, which costs no import to see."""
    try:
        with path.open("rb") as file:
            return _KEY.search(file.read(_LOOKED_AT)) is not None
    except OSError:
        return False


def pytest_itemcollected(item: pytest.Item) -> None:
    if "faithcheck" in getattr(item, "fixturenames", ()):
        item.add_marker("faithcheck")


@pytest.fixture(scope="session")
def faithcheck(pytestconfig: pytest.Config) -> Runs:
    """Runs suites, each once a session, and asserts what came of them: docs/pytest.md."""
    from faithcheck.in_pytest.fixture import Runs

    return Runs(pytestconfig)
