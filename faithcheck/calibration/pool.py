"""Units over worker processes. What a unit gives does not depend on how many there are."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context

from faithcheck.calibration.records import Instance, Unit, failed
from faithcheck.child_processes import end_with_parent, interrupts_held
from faithcheck.plugins import one_line


def cores() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_units(units: Sequence[Unit], workers: int) -> Generator[Instance]:
    """Each unit's instance, as it is finished. With one worker or one unit it runs in this process.

    A process that dies makes ERRORs of the units that were running at that time; the others go on in new processes.
    When the generator is closed or interrupted, the workers are stopped.
    """
    if workers < 2 or len(units) < 2:
        yield from map(_run, units)
        return
    waiting = deque(units)
    while waiting:
        yield from _one_pool(waiting, min(workers, len(waiting)))


def _run(unit: Unit) -> Instance:
    from faithcheck.calibration.instance import run_unit

    return run_unit(unit)


def _one_pool(waiting: deque[Unit], workers: int) -> Generator[Instance]:
    """Takes units from `waiting` until there are none or a worker has died. As many are under way as there are workers.

    So it is known which units a death may be due to.
    """
    others = set(active_children())
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=end_with_parent, initargs=(os.getpid(),)
    )
    running: dict[Future[Instance], Unit] = {}
    alive = True
    try:
        while running or (alive and waiting):
            while alive and waiting and len(running) < workers:
                alive = _submit(pool, waiting, running)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                alive = alive and not isinstance(future.exception(), BrokenProcessPool)
                yield _instance(running.pop(future), future)
    except BaseException:
        for process in set(active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, waiting: deque[Unit], running: dict[Future[Instance], Unit]) -> bool:
    """Start the next unit; False, with the unit still waiting, where a worker has died meanwhile."""
    with interrupts_held():
        try:
            running[pool.submit(_run, waiting[0])] = waiting[0]
        except BrokenProcessPool:
            return False
        waiting.popleft()
        return True


def _instance(unit: Unit, future: Future[Instance]) -> Instance:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BrokenProcessPool):
        return failed(unit, "a worker process died while this instance ran")
    return failed(unit, f"it gave nothing: {one_line(error)}")
