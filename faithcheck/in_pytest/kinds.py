"""What a YAML file is to pytest: a suite, a claim, or none of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from faithcheck.errors import UserError
from faithcheck.marked_yaml import load

_AT_THE_MARGIN = re.compile(rb"""^(?:\xef\xbb\xbf)?["']?(\w+)["']?[ \t]*:""", re.M)


def node_of(parent: pytest.Collector, path: Path, named: bool) -> pytest.File | None:
    """What collects a file. One that is none of ours is a `NoSuite` where it was named, so that it is refused in words.

    A suite has the key `faithcheck`, and `checks` or `tasks`, which it may be broken enough to lack. A claim has
    `claim` and `verdicts`, or one of them and `faithcheck`.
    """
    keys = _keys(path)
    if len(keys & {"faithcheck", "claim", "verdicts"}) > 1:
        from faithcheck.in_pytest.claims import ClaimFile

        return ClaimFile.from_parent(parent, path=path)
    if "faithcheck" in keys and keys & {"checks", "tasks"}:
        from faithcheck.in_pytest.collecting import SuiteFile

        return SuiteFile.from_parent(parent, path=path)
    return NoSuite.from_parent(parent, path=path) if named else None


def _keys(path: Path) -> Set[str]:
    """The keys at a file's top level; of one with broken syntax, those that stand at the left margin."""
    try:
        return load(path).data.keys()
    except UserError:
        pass
    try:
        return {match[1].decode(errors="replace") for match in _AT_THE_MARGIN.finditer(path.read_bytes())}
    except OSError:
        return set()


class NoSuite(pytest.File):
    """A YAML file that was named, and that is neither a suite nor a claim."""

    def collect(self) -> Iterator[pytest.Item]:
        path = os.path.relpath(self.path)
        raise self.CollectError(
            f"{path}: is no suite and no claim: a suite has the keys faithcheck, tasks and checks, a claim claim and "
            "verdicts"
        )
