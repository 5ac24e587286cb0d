"""`faithcheck run CLAIM` and `faithcheck run FOLDER`: every claim is tested again, whatever comes of the others."""

from __future__ import annotations

import time
import traceback
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from faithcheck.claims.judging import Objection
from faithcheck.claims.outcome import Outcome, State, exit_code
from faithcheck.claims.reports import forget_earlier, write_reports
from faithcheck.claims.retest import retest
from faithcheck.claims.terminal import render
from faithcheck.errors import Location, UserError
from faithcheck.loading import resolve_device
from faithcheck.progress import ProgressReport
from faithcheck.report.github import commands_off
from faithcheck.text import visible

DEFAULT_OUT = "faithcheck-results/claims"
_REFUSED = ("method", "model", "circuit", "settings", "seeds", "allow_inconclusive")
"""Options of `run` that would test something else than what is claimed."""


def run_claims(claims: Mapping[str, Path], args: Namespace) -> int:
    """Test claims, {name: file}, with the options of `faithcheck run`. Returns the exit code.

    Raises UserError for an option that does not apply to claims.
    """
    for option in _REFUSED:
        if getattr(args, option) not in (None, []) and getattr(args, option) is not False:
            flag = {"settings": "set"}.get(option, option.replace("_", "-"))
            raise UserError(f"--{flag}: a claim says itself what is tested and what comes out; leave it out")
    out, device = Path(args.out or DEFAULT_OUT), resolve_device(args.device)
    console = Console(stderr=True)
    forget_earlier(out)
    outcomes = list(_tested(claims, device, out, console))
    with commands_off():
        render(outcomes, str(out), Console())
        for outcome in outcomes:
            console.print(visible(outcome.details), end="", markup=False, highlight=False, soft_wrap=True)
    write_reports(outcomes, out, args.reports)
    return exit_code(outcomes)


def _tested(claims: Mapping[str, Path], device: str, out: Path, console: Console) -> Iterator[Outcome]:
    """One outcome a claim; after Ctrl-C no more are tested."""
    for name, file in claims.items():
        console.print(visible(f"claim {name}"), markup=False, highlight=False, soft_wrap=True)
        start = time.perf_counter()
        outcome = _outcome(name, file, device, out / name, console)
        yield replace(outcome, seconds=time.perf_counter() - start)
        if outcome.state is State.INTERRUPTED:
            return


def _outcome(name: str, file: Path, device: str, out: Path, console: Console) -> Outcome:
    """Of one claim. Its crash is not the others'."""
    place = Location(str(file))
    try:
        with ProgressReport(console) as progress:
            return retest(name, file, device, out, progress.handle)
    except KeyboardInterrupt as stop:
        said = Objection(str(stop) or "interrupted before anything was tested", place)
        return Outcome(name, file, "", State.INTERRUPTED, (said,))
    except BaseException as error:
        said = Objection(f"{type(error).__name__}; the traceback is below", place, crashed=True)
        return Outcome(name, file, "", State.CRASHED, (said,), traceback.format_exc())
