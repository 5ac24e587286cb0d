"""Results of a few seeds, cut out of results of many: what a circuit measures does not depend on the other seeds."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from faithcheck.diff.run import Run
from faithcheck.report.reading import LoadedResult, load_result
from faithcheck.result_schema import CheckResult, CircuitResult, ResultData
from faithcheck.verdict import Verdict, worst


def slices(folder: Path, size: int) -> Iterator[Run]:
    """Disjoint ones of `size` seeds each, in order; seeds that are left over are in none."""
    loaded = load_result(folder)
    seeds = sorted({circuit.seed for circuit in loaded.data.circuits if circuit.seed is not None})
    for start in range(0, len(seeds) - size + 1, size):
        yield of_seeds(loaded, seeds[start : start + size])


def drawn(folder: Path, size: int, pairs: int) -> Iterator[tuple[Run, Run]]:
    """Pairs of disjoint seeds, drawn at random."""
    loaded, rng = load_result(folder), random.Random(0)
    seeds = sorted({circuit.seed for circuit in loaded.data.circuits if circuit.seed is not None})
    for _ in range(pairs):
        chosen = rng.sample(seeds, 2 * size)
        yield of_seeds(loaded, chosen[:size]), of_seeds(loaded, chosen[size:])


def of_seeds(loaded: LoadedResult, seeds: Collection[int]) -> Run:
    """The result that a run of these seeds would have written, with its checks of circuits judged again."""
    data = loaded.data
    circuits = [circuit for circuit in data.circuits if circuit.seed in seeds]
    checks = [_check(check, circuits) for check in data.checks]
    return Run(LoadedResult(data.model_copy(update={"circuits": circuits, "checks": checks}), loaded.folder))


def _check(check: CheckResult, circuits: list[CircuitResult]) -> CheckResult:
    seeds = [circuit.seed for circuit in circuits]
    verdict = worst(_verdict(check, circuit) for circuit in circuits if circuit.task == check.task)
    metrics = [metric for metric in check.metrics if metric.seed in seeds]
    return check.model_copy(update={"metrics": metrics, "verdict": str(verdict)})


def _verdict(check: CheckResult, circuit: CircuitResult) -> Verdict:
    """Of one circuit: its gates'; sufficiency fails a circuit that missed the target, others do not judge it; and what
    was judged but not measured was too little to tell (docs/checks/README.md)."""
    if not circuit.reached:
        return Verdict.FAIL if check.check == "sufficiency" else Verdict.NOT_APPLICABLE
    found = [Verdict(m.verdict) for m in check.metrics if m.seed == circuit.seed and m.verdict]
    return worst(found) if found else Verdict.INCONCLUSIVE


def verdicts(data: ResultData) -> dict[str, Any]:
    return {f"{check.task}/{check.check}": check.verdict for check in data.checks}
