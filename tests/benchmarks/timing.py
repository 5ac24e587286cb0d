"""Clocks, and how repeats are summarised."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")


def clock(job: Callable[[], T]) -> tuple[float, T]:
    """Seconds that the job takes, a GPU's pending work included, and its result."""
    _wait()
    start = time.perf_counter()
    result = job()
    _wait()
    return time.perf_counter() - start, result


def alternate(jobs: Mapping[str, Callable[[], object]], repeats: int, calls: int = 1) -> dict[str, list[float]]:
    """Seconds per call: after a warm-up of every job, `repeats` times each job in turn, `calls` calls at once."""
    for job in jobs.values():
        job()
        job()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            taken, _ = clock(lambda job=job: [job() for _ in range(calls)])
            seconds[name].append(taken / calls)
    return seconds


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of repeats."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "n": len(values)}


def ratio(one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """How many times as long `one` takes as `other`, repeat by repeat."""
    return spread([a / b for a, b in zip(one, other, strict=True)])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
