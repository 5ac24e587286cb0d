"""One of the two runs that are compared, as the comparison looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from faithcheck.diff.seeds import Seed
from faithcheck.diff.shift import Floats
from faithcheck.diff.values import Name, Values, estimate_of, values_of
from faithcheck.errors import Location, UserError
from faithcheck.gates import Gate
from faithcheck.report.reading import Evidence, EvidenceLost, LoadedResult
from faithcheck.result_schema import CheckResult, CircuitResult


@dataclass(frozen=True)
class Run:
    """A result that was read. `lost` fills with what its evidence says where it cannot be read."""

    loaded: LoadedResult
    lost: dict[str, None] = field(default_factory=dict)
    _read: dict[tuple[str, str], Evidence | None] = field(default_factory=dict)

    @cached_property
    def checks(self) -> dict[tuple[str, str], CheckResult]:
        """By task and check."""
        return {(check.task, check.check): check for check in self.loaded.data.checks}

    @cached_property
    def names(self) -> dict[Name, None]:
        """Every metric that was measured, in order."""
        return {
            Name(check.task, check.check, metric.name, metric.on or ""): None
            for check in self.loaded.data.checks
            for metric in check.metrics
        }

    def circuits(self, task: str) -> dict[Seed, CircuitResult]:
        return {circuit.seed: circuit for circuit in self.loaded.data.circuits_of(task)}

    def seeds(self, task: str) -> set[Seed]:
        return set(self.circuits(task))

    def values(self, name: Name) -> Values:
        """The metric must be in `names`."""
        return values_of(name, self.checks[name.task, name.check], given=self.seeds(name.task) == {None})

    def gates(self, check: CheckResult) -> dict[str, str]:
        """What each gated metric had to satisfy, as the suite says it and as it came to."""
        return {metric.name: metric.gate for metric in check.metrics if metric.gate}

    def prompts(self, task: str) -> str | None:
        """SHA-256 over the task's prompts; None where the result does not say."""
        return next((named.sha256 for named in self.loaded.data.suite.tasks if named.name == task), None)

    def has_prompts_of(self, other: Run, task: str) -> bool:
        """Whether both results say so."""
        return self.prompts(task) is not None and self.prompts(task) == other.prompts(task)

    def draws(self, name: Name, seed: Seed) -> Floats | None:
        """Bootstrap draws of a metric, float[draw + unit]; None where there are none, or one is not finite."""
        evidence = self._evidence(name.task, name.check)
        prefix, on = ("" if seed is None else f"{seed}/"), (f"@{name.on}" if name.on else "")
        rows = evidence.tensors.get(f"{prefix}draws/{name.metric}{on}") if evidence else None
        if rows is None or rows.ndim != 1 or rows.dtype.kind != "f" or not np.isfinite(rows).all():
            return None
        return rows.astype(np.float64)

    def _evidence(self, task: str, check: str) -> Evidence | None:
        if (task, check) not in self._read:
            self._read[task, check] = self._load(self.checks[task, check])
        return self._read[task, check]

    def _load(self, check: CheckResult) -> Evidence | None:
        if check.evidence is None:
            return None
        try:
            return self.loaded.evidence(check.evidence)
        except EvidenceLost as error:
            self.lost[str(error)] = None
            return None


def read(loaded: LoadedResult, path: str) -> Run:
    """Raises UserError where a gate in the result cannot be read, or a number lies outside its interval."""
    for metric in (metric for check in loaded.data.checks for metric in check.metrics):
        try:
            estimate_of(metric)
            if metric.gate:
                Gate.parse(metric.gate)
        except ValueError as error:
            raise UserError(f"damaged: the metric {metric.name}: {error}", Location(path)) from None
    return Run(loaded)
