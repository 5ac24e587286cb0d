"""The fixture `faithcheck`: runs that tests in Python share, and an assertion that speaks in our sentences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from faithcheck.claims.files import kind_of
from faithcheck.errors import Location, UserError, did_you_mean
from faithcheck.files import file_name
from faithcheck.in_pytest.sharing import NoResult, SharedRun, session_of
from faithcheck.in_pytest.stamp import stamp
from faithcheck.in_pytest.wording import account
from faithcheck.result_schema import CheckResult
from faithcheck.suite import find_suite
from faithcheck.text import visible
from faithcheck.verdict import Verdict, worst


class Runs:
    """What a test gets as `faithcheck`."""

    def __init__(self, config: pytest.Config):
        self._config = config

    def run(
        self,
        suite: str | Path,
        *,
        method: str | None = None,
        model: str | None = None,
        circuit: str | Path | None = None,
        settings: Sequence[str] = (),
        seeds: int | None = None,
        device: str = "auto",
    ) -> SharedRun:
        """Run a suite, or hand out the run that another test of the session made of the same arguments.

        The arguments are those of `faithcheck.run_suite`. A bad argument, or a crash of the run, fails the test.
        """
        __tracebackhide__ = True
        try:
            session = session_of(self._config)
            file = _suite_file(suite)
            words = [_relative(file, session.cwd) if Path(suite).is_file() else str(suite)]
            options = {
                "method": method and _moved(method, file.parent, session.cwd),
                "model": model and _moved(model, file.parent, session.cwd),
                "circuit": None if circuit is None else _relative(Path(circuit), session.cwd),
                "seeds": seeds,
                "device": None if device == "auto" else device,
            }
            words += [f"--{name}={value}" for name, value in options.items() if value is not None]
            words += [f"--set={setting}" for setting in settings]
            return session.run(session.root / "runs" / f"{file_name(file.stem)}-{stamp(words, file)}", words)
        except (NoResult, UserError) as error:
            said = visible(str(error))
        _fail(said)

    def check(self, run: SharedRun, check: str | None = None, *, task: str | None = None) -> None:
        """Fails the test unless every check of the run is a PASS, or all that is called `check` or on `task`.

        NOT_APPLICABLE is no failure where others of them apply. INCONCLUSIVE skips with
        --faithcheck-allow-inconclusive.
        """
        __tracebackhide__ = True
        _known("check", check, [entry.check for entry in run.checks])
        _known("task", task, [entry.task for entry in run.checks])
        asked = [entry for entry in run.checks if check in (None, entry.check) and task in (None, entry.task)]
        verdict = worst(Verdict(entry.verdict) for entry in asked)
        if verdict is Verdict.PASS:
            return
        text = "\n\n".join(_account(entry, run) for entry in asked if entry.verdict == verdict)
        lenient = self._config.getoption("faithcheck_allow_inconclusive")
        if lenient and verdict in (Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE):
            pytest.skip(text.splitlines()[0])
        _fail(text)


def _account(entry: CheckResult, run: SharedRun) -> str:
    return visible(f"{entry.task}, {entry.check}: ") + account(entry, run)


def _known(what: str, name: str | None, known: Sequence[str]) -> None:
    __tracebackhide__ = True
    if name is not None and name not in known:
        listed = ", ".join(dict.fromkeys(known))
        _fail(visible(f"the run has no {what} {name!r}; it has {listed}{did_you_mean(name, known)}"))


def _suite_file(suite: str | Path) -> Path:
    """Raises UserError for an unknown suite, and for a claim, whose result is no suite's."""
    file = find_suite(str(suite))
    if kind_of(file) == "claim":
        raise UserError("is a claim, and the fixture runs suites; `pytest FILE` tests a claim", Location(str(suite)))
    return file


def _moved(ref: str, near: Path, start: Path) -> str:
    """A reference of a method or model as it is written at `start`, where the run begins. A file that lies `near`, in
    the suite's folder, is found from anywhere."""
    if Path.cwd() == start:
        return ref
    loader, file, name = ("", *ref.rsplit(":", 1)) if ".py:" in ref else (*ref.partition(":")[::2], "")
    if not file or (name and (near / file).is_file()) or not Path(file).exists():
        return ref
    return ":".join(filter(None, (loader, _relative(Path(file), start), name)))


def _relative(path: Path, start: Path) -> str:
    return os.path.relpath(path.absolute(), start)


def _fail(text: str) -> NoReturn:
    __tracebackhide__ = True
    pytest.fail(text)
