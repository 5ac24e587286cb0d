"""A run that every test of a session shares, also those in other workers of pytest-xdist."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from faithcheck.errors import UserError
from faithcheck.files import cannot_write, make_folder, write_whole
from faithcheck.in_pytest.live import progress_of
from faithcheck.in_pytest.lock import held
from faithcheck.in_pytest.process import run, why
from faithcheck.pytest_plugin import SESSION
from faithcheck.report.reading import LoadedResult, load_result
from faithcheck.result import prepare
from faithcheck.result_schema import CheckResult
from faithcheck.verdict import Verdict, exit_code

LOG = "log.txt"


class NoResult(Exception):
    """A run that ended without a result: a bad argument, a plugin that cannot be used, a crash. Says why."""


@dataclass(frozen=True)
class SharedRun:
    """What a run found: `result.data` is the content of result.json in the folder `result.folder`."""

    result: LoadedResult
    folder: str
    """Where its files are, and `command`, the line for a shell that runs the same: from where pytest was started."""
    command: str

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.result.data.verdict)

    @property
    def checks(self) -> Sequence[CheckResult]:
        """One for each task and check."""
        return tuple(self.result.data.checks)


@dataclass
class Session:
    """The runs of one session of pytest. `id` is the same in all its workers, and no other session's."""

    config: pytest.Config
    id: str
    root: Path
    """The folder of all results."""
    _known: dict[tuple[Path, tuple[str, ...]], SharedRun | NoResult] = field(default_factory=dict)

    @property
    def cwd(self) -> Path:
        """Where pytest was started."""
        return self.config.invocation_params.dir

    def folder(self, file: Path) -> Path:
        """The folder for what comes of a file of the user's: its path from pytest's root, `..` as `__`."""
        parts = Path(os.path.relpath(file, self.config.rootpath)).parts
        return self.root.joinpath(*("__" if part == ".." else part for part in parts))

    @contextmanager
    def locked(self, folder: Path) -> Iterator[int]:
        """The folder, made where it is not there, with other processes kept out of it; gives the lock's descriptor."""
        make_folder(folder, "results")
        with held(folder / ".lock", alone=not hasattr(self.config, "workerinput")) as lock:
            yield lock

    def perform(self, folder: Path, arguments: Sequence[str], lock: int) -> int:
        """`faithcheck run ARGUMENTS --out FOLDER` in a process that holds the lock as well; its exit code."""
        with progress_of(self.config) as show:
            return run(["run", *arguments, "--out", str(folder)], self.cwd, folder / LOG, [lock], show)

    def run(self, folder: Path, arguments: Sequence[str]) -> SharedRun:
        """`faithcheck run ARGUMENTS --out FOLDER`, unless this session has done that. Raises NoResult, UserError."""
        key = folder, tuple(arguments)
        if key not in self._known:
            self._known[key] = self._shared(folder, arguments)
        found = self._known[key]
        if isinstance(found, NoResult):
            raise NoResult(str(found))
        return found

    def _shared(self, folder: Path, arguments: Sequence[str]) -> SharedRun | NoResult:
        record = folder / "pytest.json"
        mine = {"session": self.id, "arguments": list(arguments)}
        with self.locked(folder) as lock:
            done = _read(record)
            if {key: done.get(key) for key in mine} != mine:
                forget(record)  # or it would vouch for a run that takes its place and is never finished
                done = {**mine, "failure": self._failure(folder, arguments, lock)}
                write_whole(record, json.dumps(done))
            if done["failure"] is not None:
                return NoResult(done["failure"])
            shown = os.path.relpath(folder, self.cwd)
            return SharedRun(load_result(folder), shown, shlex.join(["faithcheck", "run", *arguments]))

    def _failure(self, folder: Path, arguments: Sequence[str], lock: int) -> str | None:
        """Run it; why there is no result, or None. An exit code that is not that of the result says that something
        went wrong that the result does not know of."""
        prepare(folder)
        code = self.perform(folder, arguments, lock)
        try:
            found = load_result(folder).data
        except UserError:
            return why(code, folder / LOG)
        agrees = not found.interrupted and code == exit_code(Verdict(found.verdict))
        return None if agrees else why(code, folder / LOG)


_SESSION = pytest.StashKey[Session]()


def session_of(config: pytest.Config) -> Session:
    if _SESSION not in config.stash:
        root = config.invocation_params.dir / config.getoption("faithcheck_out")
        config.stash[_SESSION] = Session(config, config.stash[SESSION], root)
    return config.stash[_SESSION]


def forget(file: Path) -> None:
    """Remove a file of an earlier run. Raises UserError where that cannot be."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(file.parent, "results", error) from None


def _read(record: Path) -> dict[str, Any]:
    try:
        data = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
