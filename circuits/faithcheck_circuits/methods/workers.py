"""Independent jobs side by side, each on one thread of its own, so that a result does not depend on how many run."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from contextlib import contextmanager
from multiprocessing import current_process
from typing import Any, TypeVar

import torch

from faithcheck.allocator import give_back_freed_memory, keep_freed_memory
from faithcheck.child_processes import end_with_parent, interrupts_held

T = TypeVar("T")

_IDLE = 60
"""Seconds after which a worker process without work ends."""
_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


class _Pool:
    """The processes that were started, and by which process: they are kept for the next call, but not for a fork."""

    size = 0
    owner: int | None = None


def side_by_side(jobs: Sequence[Callable[[], T]], workers: int) -> list[T]:
    """The results of the jobs, in order: in up to this many worker processes, or one after the other in this one.

    Processes, for threads wait for each other's Python: two of them took half as long again. Jobs and results are
    pickled; jobs that cannot be run in this process, and so do those of a process that may start none. Where a job
    raises, or Ctrl-C comes, the other jobs are ended and the exception goes on.
    """
    workers = min(workers, len(jobs))
    if workers > 1 and not current_process().daemon and _Pool.owner in (None, os.getpid()):
        try:
            return _in_processes(jobs, workers)
        except pickle.PicklingError:
            pass
    with _one_thread():
        return [job() for job in jobs]


def _in_processes(jobs: Sequence[Callable[[], T]], workers: int) -> list[T]:
    pool = None
    try:
        with interrupts_held():
            pool = _pool(workers)
            futures = [pool.submit(_done, job) for job in jobs]
        failed = [f for f in wait(futures, return_when=FIRST_EXCEPTION).done if f.exception() is not None]
        return [future.result() for future in (failed or futures)]
    except BaseException:
        if pool is not None:
            pool.shutdown(kill_workers=True)
            _end_feeders()
        raise


def _end_feeders() -> None:
    """A pool leaves the thread that feeds its workers behind; ended by the end of this process while it lets go of a
    semaphore, it would make loky warn of a leak."""
    for thread in threading.enumerate():
        if thread.name == "QueueFeederThread":
            thread.join(timeout=5)


def _pool(workers: int) -> Any:
    """It grows and does not shrink: what is not used ends by itself."""
    from loky import get_reusable_executor

    _Pool.owner, _Pool.size = os.getpid(), max(workers, _Pool.size)
    return get_reusable_executor(
        _Pool.size, timeout=_IDLE, initializer=_prepare, initargs=(os.getpid(),), env=_ENVIRONMENT
    )


def _prepare(parent: int) -> None:
    end_with_parent(parent)
    keep_freed_memory()
    torch.set_num_threads(1)


def _done(job: Callable[[], T]) -> T:
    """What a job gives, or raises: as a RuntimeError of the same words where the error cannot be pickled."""
    try:
        return job()
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            raise RuntimeError(f"{type(error).__name__}: {error}") from None
        raise
    finally:
        give_back_freed_memory()


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
