"""Independent jobs side by side, each on one thread of its own, so that a result does not depend on how many run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from contextlib import contextmanager
from multiprocessing import current_process
from typing import TypeVar

import torch

from faithcheck.allocator import give_back_freed_memory, keep_freed_memory
from faithcheck.child_processes import end_with_parent, interrupts_held

T = TypeVar("T")

_IDLE = 60
"""Seconds after which a worker process without work ends."""
_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


def side_by_side(jobs: Sequence[Callable[[], T]], workers: int) -> list[T]:
    """The results of the jobs, in order: in this many worker processes, or one after the other in this one.

    Processes, for threads wait for each other's Python: two of them took half as long again. Jobs and results are
    pickled. Where a job raises, or Ctrl-C comes, the other jobs are ended and the exception goes on. A daemonic process
    may start none.
    """
    workers = min(workers, len(jobs))
    if workers > 1 and not current_process().daemon:
        return _in_processes(jobs, workers)
    with _one_thread():
        return [job() for job in jobs]


def _in_processes(jobs: Sequence[Callable[[], T]], workers: int) -> list[T]:
    from loky import get_reusable_executor

    with interrupts_held():
        pool = get_reusable_executor(workers, timeout=_IDLE, initializer=_prepare, env=_ENVIRONMENT)
        futures = [pool.submit(_done, job) for job in jobs]
    try:
        failed = [f for f in wait(futures, return_when=FIRST_EXCEPTION).done if f.exception() is not None]
        return [future.result() for future in (failed or futures)]
    except BaseException:
        pool.shutdown(kill_workers=True)
        raise


def _prepare() -> None:
    end_with_parent()
    keep_freed_memory()
    torch.set_num_threads(1)


def _done(job: Callable[[], T]) -> T:
    found = job()
    give_back_freed_memory()
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
