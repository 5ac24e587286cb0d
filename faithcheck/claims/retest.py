"""Testing one claim again: that circuit, task and model are those claimed, then that the verdicts are."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from faithcheck.claims.asked import suite_changes
from faithcheck.claims.claim import LoadedClaim, load_claim
from faithcheck.claims.judging import Objection, objections
from faithcheck.claims.outcome import Outcome, State
from faithcheck.claims.references import circuit_file, suite_of
from faithcheck.errors import Location, UserError
from faithcheck.plain_errors import plain_errors
from faithcheck.plugins import BrokenPlugin
from faithcheck.result import Result, prepare, refuse_replaced
from faithcheck.task import load_task_file

if TYPE_CHECKING:
    from faithcheck.circuit import Circuit
    from faithcheck.events import Event
    from faithcheck.model import Model
    from faithcheck.suite import LoadedSuite


def retest(name: str, file: Path, device: str, out: Path, on_event: Callable[[Event], None]) -> Outcome:
    """Test the claim in `file` again; what its run writes goes to the folder `out`, as `begin` leaves it.

    What keeps it from being tested is in the outcome too. On KeyboardInterrupt what was finished is kept in `out`.
    """
    text = ""
    try:
        claim = begin(file, out)
        text = claim.claim.claim
        found = _tested(claim, device, out, on_event)
    except UserError as error:
        place = error.location or Location(str(file))
        return Outcome(name, file, text, State.UNTESTABLE, (Objection(error.message, place),))
    except BrokenPlugin as error:
        return Outcome(name, file, text, State.CRASHED, (Objection(str(error), Location(str(file)), crashed=True),))
    state = State.BROKEN if found else State.HOLDS
    if any(objection.crashed for objection in found):
        state = State.CRASHED
    return Outcome(name, file, text, state, tuple(found))


def begin(file: Path, out: Path) -> LoadedClaim:
    """The claim in `file`, once what an earlier test left in the folder `out` is removed.

    Raises UserError where either cannot be done, and, with all left in place, where the claim's circuit would be gone.
    """
    try:
        claim = load_claim(file)
    except UserError:
        prepare(out)
        raise
    circuit = file.parent / claim.claim.circuit
    if circuit.is_file():
        with claim.located("circuit"):
            refuse_replaced(circuit, out)
    prepare(out)
    return claim


def _tested(claim: LoadedClaim, device: str, out: Path, on_event: Callable[[Event], None]) -> list[Objection]:
    from faithcheck.api import run_resolved
    from faithcheck.loading import load_model
    from faithcheck.resolve import resolve

    loaded, file = suite_of(claim), circuit_file(claim)
    circuit, changed = _circuit(claim, file)
    changed += _task_changes(claim, loaded)
    with plain_errors():
        with claim.located("model"):
            model = load_model(loaded.suite.model, device, loaded.path.parent)
        changed += _model_changes(claim, model)
        if changed or circuit is None:
            return changed
        run = resolve(loaded, model=model, circuit=circuit, own_method=False, device=device)
    changed += suite_changes(claim, run.settings, run.method)
    if changed:
        return changed
    again = shlex.join(["faithcheck", "run", str(claim.path)])
    result = run_resolved(run, out, again, on_event)
    found = objections(claim, result.checks)
    _record(result, claim, found)
    return found


def _circuit(claim: LoadedClaim, file: Path) -> tuple[Circuit | None, list[Objection]]:
    from faithcheck.circuit import load_circuit

    try:
        circuit = load_circuit(file)
    except UserError as error:
        said = f"the circuit file {claim.claim.circuit} is damaged: {error.message}"
        return None, [Objection(said, claim.location("circuit"))]
    if circuit.identity == claim.claim.identity:
        return circuit, []
    said = f"the circuit in {claim.claim.circuit} is not the one claimed: its identity is {circuit.identity}"
    return circuit, [Objection(said, claim.location("identity"))]


def _task_changes(claim: LoadedClaim, loaded: LoadedSuite) -> Iterator[Objection]:
    [file] = loaded.suite.tasks
    task = load_task_file(file)
    if claim.claim.task_sha256 not in (None, task.fingerprint):
        said = f"the task {task.name} is not the one claimed: its content has the SHA-256 {task.fingerprint}"
        yield Objection(said, claim.location("task_sha256"))


def _model_changes(claim: LoadedClaim, model: Model) -> Iterator[Objection]:
    if model.fingerprint != claim.claim.fingerprint:
        said = f"the model {model.name} is not the one claimed: its fingerprint is {model.fingerprint}"
        yield Objection(said, claim.location("fingerprint"))


def _record(result: Result, claim: LoadedClaim, found: list[Objection]) -> None:
    """Write into result.json which claim it is of, and whether that holds."""
    result.claim = {
        "text": claim.claim.claim,
        "file": str(claim.path),
        "verdicts": dict(claim.claim.verdicts),
        "holds": not found,
        "objections": [{"sentence": objection.sentence, "line": objection.location.line} for objection in found],
    }
    result.write()
