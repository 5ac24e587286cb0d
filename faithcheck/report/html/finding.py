"""One check on one task, as the pictures see it: its metrics, its evidence, the prompts that the evidence shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from faithcheck.report.reading import Evidence, LoadedResult
from faithcheck.result_schema import CheckResult, CircuitResult, MetricEntry, ResultData, ShownPrompt

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Finding:
    """`entry` in result.json; `loaded` knows where its evidence lies."""

    loaded: LoadedResult
    entry: CheckResult

    @property
    def data(self) -> ResultData:
        return self.loaded.data

    @cached_property
    def evidence(self) -> Evidence:
        """Raises EvidenceLost where the file is missing or another; empty where the check kept none."""
        return Evidence({}) if self.entry.evidence is None else self.loaded.evidence(self.entry.evidence)

    @property
    def circuits(self) -> list[CircuitResult]:
        return self.data.circuits_of(self.entry.task)

    @property
    def whole(self) -> str:
        """What a metric without a seed is about: the circuit that was given, or all seeds."""
        return "the circuit" if any(circuit.seed is None for circuit in self.circuits) else "all seeds"

    @property
    def prompts(self) -> Sequence[ShownPrompt]:
        return self.data.prompts_of(self.entry.task)

    def metrics(self, name: str, on: str | None = None) -> list[MetricEntry]:
        return [entry for entry in self.entry.metrics if entry.name == name and entry.on == on]

    def ons(self, name: str) -> list[str | None]:
        """What a metric is about (shifts, norms), in order."""
        return list(dict.fromkeys(entry.on for entry in self.entry.metrics if entry.name == name))

    def values(self, name: str, on: str | None = None) -> dict[int | None, float | None]:
        """{seed: estimate}."""
        return {entry.seed: entry.estimate for entry in self.metrics(name, on)}

    def seeds(self, name: str) -> list[int | None]:
        """The seeds whose evidence holds a tensor of that name, in order; None: of a given circuit."""
        seeds: list[int | None] = [None] if name in self.evidence.tensors else []
        starts = [key.removesuffix(f"/{name}") for key in self.evidence.tensors if key.endswith(f"/{name}")]
        return seeds + sorted(int(start) for start in starts if start.isdecimal())

    def tensor(self, seed: int | None, name: str) -> Array:
        """Raises KeyError where the evidence has none."""
        return self.evidence.tensors[under(seed, name)]


def under(seed: int | None, name: str) -> str:
    """The name in the evidence of a seed's tensor."""
    return name if seed is None else f"{seed}/{name}"
