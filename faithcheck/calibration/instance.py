"""Plants one instance and runs the checks on its true circuit and its decoy, as `faithcheck run` would."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch

from faithcheck.ablation import Ablation
from faithcheck.bench import Bench
from faithcheck.calibration.oracle import Oracle
from faithcheck.calibration.population import CheckEntry, load_check, load_family, load_method
from faithcheck.calibration.records import Gated, Instance, Record, Unit, Variant, errors, failed
from faithcheck.check import CircuitCheck, Measurement, MethodCheck
from faithcheck.circuit import Circuit
from faithcheck.engine import execute
from faithcheck.events import CheckJudged
from faithcheck.gates import Gate
from faithcheck.intervals import SEEDS_TO_PASS
from faithcheck.judging import Finding
from faithcheck.planted import Planted
from faithcheck.plugins import one_line
from faithcheck.references import ResolvedCheck, ResolvedMethod
from faithcheck.resolve import Resolved
from faithcheck.verdict import Verdict

Tested = tuple[Circuit | None, ResolvedMethod | None]
"""What is tested: a circuit, or a method."""


def run_unit(unit: Unit) -> Instance:
    """Run one unit on one torch thread, so that its numbers do not depend on how many there are.

    Whatever raises is an ERROR.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _run(unit)
    except (Exception, SystemExit) as error:
        return failed(unit, f"it could not be planted: {one_line(error)}", _trace(error))
    finally:
        torch.set_num_threads(threads)


def _run(unit: Unit) -> Instance:
    planted = load_family(unit.family.ref).plant(unit.seed)
    drawn = json.loads(json.dumps(dict(planted.drawn), allow_nan=False))
    target = float(planted.target_loss)
    if not math.isfinite(target):
        raise ValueError(f"its target loss is {target}")
    records = _records(unit, planted)
    return Instance(unit.family.name, unit.seed, records, target, drawn)


def _records(unit: Unit, planted: Planted) -> list[Record]:
    """True circuit and decoy share a bench, and with it what the full model does on each split."""
    bench = Bench(planted.model, planted.task, "full", planted.target_loss, Ablation(), "live")
    checks = [check for check in unit.checks if unit.family.runs(check)]
    circuit_scope = [check for check in checks if not check.is_method_scope]
    method_scope = [check for check in checks if check.is_method_scope]
    true = ResolvedMethod(Oracle.name, Oracle(planted.model, planted.true), {})
    records = _recorded(unit, "true", bench, circuit_scope, lambda: (planted.true, None))
    if planted.decoy is not None:
        records += _recorded(unit, "decoy", bench, circuit_scope, lambda: (planted.decoy, None))
    records += _recorded(unit, "true", bench, method_scope, lambda: (None, true))
    if (decoy := unit.family.decoy_method) is not None:
        exercised = [check for check in method_scope if check.name in unit.family.exercises]
        records += _recorded(unit, "decoy", bench, exercised, lambda: (None, load_method(*decoy)))
    return records


def _recorded(
    unit: Unit, variant: Variant, bench: Bench, checks: Sequence[CheckEntry], tested: Callable[[], Tested]
) -> list[Record]:
    """The verdicts of checks of one scope, in one run; ERRORs where the run itself raises."""
    if not checks:
        return []
    try:
        watched = [Watched(load_check(check.ref)) for check in checks]
        findings = _findings(unit, bench, watched, *tested())
        return [_record(unit, variant, bench, finding, w) for finding, w in zip(findings, watched, strict=True)]
    except (Exception, SystemExit) as error:
        return errors(unit, variant, checks, f"the run crashed: {one_line(error)}", _trace(error))


def _findings(
    unit: Unit, bench: Bench, checks: Sequence[Watched], circuit: Circuit | None, method: ResolvedMethod | None
) -> list[Finding]:
    if circuit is not None:
        circuit.check_fits(bench.model)
    run = Resolved(
        model=bench.model,
        benches=[bench],
        method=method,
        checks=[_resolved(check, bench.target_loss) for check in checks],
        seeds=range(SEEDS_TO_PASS) if method is not None else [unit.seed],
        device=str(bench.model.device),
        circuit=circuit,
        settings={"name": unit.family.name, "target_loss": bench.target_loss},
    )
    return [event.finding for event in execute(run) if isinstance(event, CheckJudged)]


def _resolved(check: Watched, target_loss: float) -> ResolvedCheck:
    plain = cast("CircuitCheck | MethodCheck", check)
    return ResolvedCheck(plain, {m: Gate.parse(text, target_loss=target_loss) for m, text in plain.gates.items()})


class Watched:
    """A check that remembers what it measured, for a finding does not say whether the gates made its verdict."""

    def __init__(self, check: CircuitCheck | MethodCheck):
        self._check = check
        self._measured: Measurement | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._check, name)

    def measure(self, *args: Any) -> Measurement:
        self._measured = self._check.measure(*args)
        return self._measured

    def left_to_gates(self) -> bool:
        """Whether something was measured and no sentence of the check's takes the place of the gates' verdict."""
        found = self._measured
        return found is not None and found.not_applicable is None and found.undecided is None and found.failed is None


def _record(unit: Unit, variant: Variant, bench: Bench, finding: Finding, check: Watched) -> Record:
    gated = [
        Gated(j.metric.name, j.metric.on, j.metric.estimate, j.gate, j.verdict)
        for j in finding.metrics
        if j.gate is not None and j.verdict is not None and j.metric.estimate is not None
    ]
    return Record(
        unit.family.name,
        unit.seed,
        variant,
        finding.check,
        finding.verdict,
        finding.reason,
        finding.verdict is not Verdict.ERROR and check.left_to_gates() and bool(gated),
        gated,
        bench.target_loss,
        finding.details,
    )


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
