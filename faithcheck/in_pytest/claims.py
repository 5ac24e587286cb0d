"""The test of a claim: that it holds. It is the run of `faithcheck run CLAIM`, in a process of its own."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from faithcheck.claims.claim import load_claim
from faithcheck.claims.outcome import State
from faithcheck.claims.retest import begin
from faithcheck.errors import UserError
from faithcheck.in_pytest.items import fail
from faithcheck.in_pytest.process import why
from faithcheck.in_pytest.sharing import LOG, forget, session_of
from faithcheck.in_pytest.wording import one_line
from faithcheck.report.formats import FILES
from faithcheck.report.reading import load_result
from faithcheck.text import visible


class ClaimFile(pytest.File):
    """The file of a claim, which is one test. What it refers to is looked up when that runs."""

    def collect(self) -> Iterator[ClaimItem]:
        try:
            loaded = load_claim(os.path.relpath(self.path))
        except UserError as error:
            raise self.CollectError(visible(str(error))) from None
        item: Any = ClaimItem.from_parent(self, name="holds", text=loaded.claim.claim)
        item.add_marker(pytest.mark.faithcheck(claim=self.path.stem))
        yield item


class ClaimItem(pytest.Item):
    """Whether a claim holds. `text` is what is claimed."""

    parent: ClaimFile

    def __init__(self, *, text: str, **given: Any):
        super().__init__(**given)
        self._text = text
        self._broken: str | None = None

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"claim {self.path.name}"

    def setup(self) -> None:
        """Tests the claim again. One that cannot be tested, or crashes, is an error of pytest too."""
        if self.config.getoption("setuponly", False):
            return
        self._broken = None
        try:
            state, account = self._retested()
        except UserError as error:
            fail(visible(str(error)))
        if state is State.BROKEN:
            self._broken = account
        elif state is not State.HOLDS:
            fail(account)

    def runtest(self) -> None:
        if self._broken is not None:
            fail(self._broken)

    def _retested(self) -> tuple[State, str]:
        """What came of it; and what to say where it is not that the claim holds. Raises UserError."""
        session = session_of(self.config)
        words = [os.path.relpath(self.path, session.cwd)]
        folder = session.folder(self.path)
        out = folder / self.path.stem
        with session.locked(folder) as lock:
            begin(Path(os.path.relpath(self.path)), out)
            forget(folder / FILES["junit"])
            code = session.perform(folder, [*words, "--report", "junit"], lock)
            state, said = _outcome(code, folder, out)
        found = [f"results:   {os.path.relpath(out, session.cwd)}/result.json"] * (out / "result.json").is_file()
        command = shlex.join(["faithcheck", "run", *words])
        first = one_line(f"claim {state.words}: {self._text}")
        return state, visible("\n\n".join([first, said, "\n".join([*found, f"reproduce: {command}"])]))


def _outcome(code: int, folder: Path, out: Path) -> tuple[State, str]:
    """What the exit code, junit.xml and result.json of a run say of its one claim, which must agree; and why."""
    try:
        [case] = ElementTree.parse(folder / FILES["junit"]).iter("testcase")
        objection = case.find("*")
        words = State.HOLDS.words if objection is None else objection.get("type")
        [state] = [state for state in State if (state.code, state.words) == (code, words)]
        claim = load_result(out).data.claim if state is State.HOLDS else None
    except (OSError, ValueError, ElementTree.ParseError, UserError):
        return State.CRASHED, why(code, folder / LOG)
    if state is State.HOLDS and (claim is None or not claim.holds):
        return State.CRASHED, why(code, folder / LOG)
    said = [] if objection is None else [objection.get("message", ""), objection.text or ""]
    return state, "\n\n".join(dict.fromkeys(said))
