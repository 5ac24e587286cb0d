"""Independent jobs side by side, each with one thread of its own, so that a result does not depend on how many run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

import torch

T = TypeVar("T")


def side_by_side(jobs: Sequence[Callable[[Callable[[], bool]], T]], workers: int) -> list[T]:
    """The results of the jobs, in order. A job is called with a function that says whether it should stop.

    Jobs run on one torch thread each, however many workers there are. Where one raises, or Ctrl-C comes, the others are
    told to stop and the exception goes on.
    """
    stop, threads = Event(), torch.get_num_threads()

    def work(job: Callable[[Callable[[], bool]], T]) -> T:
        torch.set_num_threads(1)
        return job(stop.is_set)

    try:
        with ThreadPoolExecutor(workers) as pool:
            try:
                futures = [pool.submit(work, job) for job in jobs]
                failed = [f for f in wait(futures, return_when=FIRST_EXCEPTION).done if f.exception() is not None]
                return [future.result() for future in (failed or futures)]
            except BaseException:
                stop.set()
                raise
    finally:
        torch.set_num_threads(threads)
