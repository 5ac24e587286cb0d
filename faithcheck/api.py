"""Running a suite from Python."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from faithcheck.circuit import Circuit, load_circuit
from faithcheck.collect import Collector
from faithcheck.engine import execute
from faithcheck.errors import Interrupted, UserError
from faithcheck.events import Event
from faithcheck.loading import resolve_device
from faithcheck.plain_errors import plain_errors
from faithcheck.resolve import Resolved, resolve
from faithcheck.result import Result, refuse_replaced
from faithcheck.suite import LoadedSuite, load_suite


def run_suite(
    suite: str | Path,
    *,
    method: str | None = None,
    model: str | None = None,
    circuit: str | Path | None = None,
    settings: Sequence[str] = (),
    seeds: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Result:
    """Run a suite and write its result.

    suite: a path or a bundled name. method, model: references that replace the suite's. circuit: a circuit file to test
    instead of extracting. settings: `KEY=VALUE` as of `--set`. seeds: how many, instead of the suite's.
    out: the folder for result.json, by default `faithcheck-results/<suite>-<method>`.

    Raises UserError where the suite or an argument is wrong. On KeyboardInterrupt what was finished is written first,
    and the Interrupted that is raised says where.
    """
    if seeds is not None and seeds < 1:
        raise UserError(f"--seeds {seeds}: at least 1 seed is needed")
    overrides = [*settings, *([] if seeds is None else [f"seeds={seeds}"])]
    loaded = _with_method(str(suite), method, overrides)
    given: Circuit | None = None if circuit is None else load_circuit(Path(circuit))
    with plain_errors():
        run = resolve(
            loaded,
            model_ref=model,
            circuit=given,
            own_method=given is None or method is not None,
            device=resolve_device(device),
        )
    command = _command(str(suite), overrides, {"--method": method, "--model": model, "--circuit": circuit}, device)
    folder = Path(out) if out is not None else default_out(run)
    if circuit is not None:
        refuse_replaced(Path(circuit), folder)
    return run_resolved(run, folder, command, on_event)


def run_resolved(
    run: Resolved, out: Path, command: str, on_event: Callable[[Event], None] = lambda event: None
) -> Result:
    """Run what was resolved and write its result to `out`; on KeyboardInterrupt as `run_suite`.

    command: what makes the result again, as one types it.
    """
    collector = Collector(run, out, command)
    try:
        for event in execute(run):
            collector.handle(event)
            on_event(event)
    except KeyboardInterrupt:
        raise Interrupted(collector.finish(interrupted=True).out) from None
    except BaseException:
        collector.finish(interrupted=True)
        raise
    return collector.finish()


def _command(suite: str, settings: Sequence[str], options: Mapping[str, object], device: str) -> str:
    """The run as one types it; `--out` aside, which changes nothing in a result."""
    words = ["faithcheck", "run", suite]
    for name, value in options.items():
        words += [name, str(value)] if value is not None else []
    for setting in settings:
        words += ["--set", setting]
    return shlex.join([*words, *(["--device", device] if device != "auto" else [])])


def _with_method(suite: str, method: str | None, overrides: Sequence[str]) -> LoadedSuite:
    """The suite with `method` in place of its own; parameters in its file stay where it names the same method."""
    if method is None:
        return load_suite(suite, overrides)
    own = load_suite(suite).suite.method
    replaced = [] if own is not None and own.name == method else [f"method={json.dumps(method)}"]
    return load_suite(suite, [*replaced, *overrides])


def default_out(run: Resolved) -> Path:
    """`faithcheck-results/<suite>-<method>`, or `<suite>-circuit` for a given circuit."""
    what = "circuit" if run.circuit is not None or run.method is None else Path(run.method.ref.replace(":", "-")).name
    return Path("faithcheck-results") / f"{run.settings['name']}-{what}"
