"""Jobs in worker processes: results in order, the same as in one process, and no process left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from faithcheck_circuits.methods import batches
from faithcheck_circuits.methods.sparse_prune import SparsePrune
from faithcheck_circuits.methods.workers import side_by_side
from small_pruning import problem

from faithcheck.child_processes import interrupts_held


def late(seconds, result):
    time.sleep(seconds)
    return result, os.getpid(), torch.get_num_threads()


def wrong(seconds):
    time.sleep(seconds)
    raise ValueError("the third job is wrong")


def met(folder, processes, seconds, result):
    """`late`, once jobs have begun in as many processes: a pool may give one that is up first all there is to do."""
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < processes:
        time.sleep(0.01)
    return late(seconds, result)


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_results_come_in_the_order_of_the_jobs_each_on_one_thread(tmp_path, workers):
    before, processes = torch.get_num_threads(), min(workers, 3)
    found = side_by_side(
        [partial(met, tmp_path, processes, *job) for job in ((0.4, "a"), (0.0, "b"), (0.2, "c"))], workers
    )
    assert [result for result, _, _ in found] == ["a", "b", "c"]
    assert {threads for _, _, threads in found} == {1}
    assert (os.getpid() in {process for _, process, _ in found}) == (workers == 1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_a_job_comes_through_and_the_next_jobs_run(workers):
    started = time.monotonic()
    with pytest.raises(ValueError, match="the third job is wrong"):
        side_by_side([partial(late, 0.1, "a"), partial(wrong, 0.1), partial(late, 60 * (workers - 1), "c")], workers)
    assert time.monotonic() - started < 30  # the last job was not waited for
    assert [result for result, *_ in side_by_side([partial(late, 0, i) for i in range(3)], workers)] == [0, 1, 2]


def test_a_worker_that_dies_is_an_error_that_says_so_and_the_next_jobs_run():
    with pytest.raises(RuntimeError, match="terminated"):
        side_by_side([partial(os._exit, 7), partial(late, 0, "b")], 2)
    assert [result for result, *_ in side_by_side([partial(late, 0, i) for i in range(2)], 2)] == [0, 1]


def blocked():
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


class Odd(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def odd():
    raise Odd("this", "that")


def test_workers_never_see_ctrl_c():
    assert side_by_side([blocked, blocked], 2) == [True, True]
    assert not blocked()


def test_an_exception_that_cannot_be_pickled_keeps_its_words():
    with pytest.raises(RuntimeError, match="Odd: this and that"):
        side_by_side([odd, odd], 2)


def test_jobs_that_cannot_be_pickled_run_in_this_process():
    lock = threading.Lock()
    found = side_by_side([partial(late, 0, lock), partial(late, 0, lock)], 2)
    assert [process for _, process, _ in found] == [os.getpid()] * 2


def test_fewer_jobs_than_before_go_to_the_same_processes():
    before = {process for _, process, _ in side_by_side([partial(late, 0.3, i) for i in range(3)], 3)}
    assert {process for _, process, _ in side_by_side([partial(late, 0.3, i) for i in range(2)], 2)} <= before


def nested(results):
    found = side_by_side([partial(late, 0, i) for i in range(2)], 2)
    results.put([process for _, process, _ in found] == [os.getpid()] * 2)


@pytest.mark.parametrize(("start", "daemon"), [("fork", False), ("fork", True), ("spawn", True)])
def test_a_process_that_may_start_none_runs_the_jobs_itself(start, daemon):
    side_by_side([partial(late, 0, i) for i in range(2)], 2)  # a fork gets the pool without what drives it
    context = multiprocessing.get_context(start)
    results = context.Queue()
    child = context.Process(target=nested, args=(results,), daemon=daemon)
    child.start()
    try:
        assert results.get(timeout=60) is True
    finally:
        child.kill()


def test_masks_trained_in_processes_are_those_trained_in_this_one(monkeypatch):
    problems = [problem(seed=seed) for seed in range(3)]
    method = SparsePrune(SparsePrune.Parameters(steps=12, sweep=(1.0, 0.1)))
    monkeypatch.setattr(batches, "CPU_WIDTH", 2)
    here = method.extract_many(problems)
    asked = []
    monkeypatch.setattr(batches, "WORTH", 0)
    monkeypatch.setattr(batches, "side_by_side", lambda jobs, workers: asked.append(len(jobs)) or side_by_side(jobs, 2))
    there = method.extract_many([replace(p) for p in problems])
    assert asked == [3]
    for one, other in zip(here, there, strict=True):
        assert all(torch.equal(scores, other.scores[site]) for site, scores in one.scores.items())
        assert one.convergence == other.convergence


@pytest.mark.parametrize(("steps", "runs", "processes"), [(1, 9, 1), (50_000, 9, 3), (50_000, 20, 4), (50_000, 1, 1)])
def test_processes_are_started_for_work_of_seconds_and_one_a_batch(monkeypatch, steps, runs, processes):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    members = [(problem(seed=seed), 1.0) for seed in range(runs)]
    assert batches.workers(members, SparsePrune.Parameters(steps=steps)) == processes


def test_ctrl_c_waits_for_the_start_of_workers_also_where_another_thread_takes_it():
    done, ended = threading.Event(), False
    threading.Thread(target=done.wait, daemon=True).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts_held():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            ended = True
        pytest.fail("Ctrl-C was lost")
    except KeyboardInterrupt:
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
        done.set()
    assert ended


SCRIPT = """
import os, threading, time
from functools import partial
from pathlib import Path
from faithcheck_circuits.methods.workers import side_by_side

def stuck(i):
    Path(f"stuck-{os.getpid()}").touch()
    time.sleep(600)

print("started", flush=True)  # with no guard of __main__: a worker must not come here
try:
    side_by_side([partial(stuck, i) for i in range(2)], 2)
except KeyboardInterrupt:
    print("interrupted", *(t.name for t in threading.enumerate()), flush=True)
"""


def started(folder):
    (folder / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "started\n"
    return process


def stuck(folder):
    process = started(folder)
    while len(list(folder.glob("stuck-*"))) < 2 and process.poll() is None:
        time.sleep(0.05)
    workers = [int(path.name.partition("-")[2]) for path in folder.glob("stuck-*")]
    assert len(workers) == 2
    return process, workers


def gone(pids):
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def starting(folder, after):
    """A script whose workers are about to start, and what it has started by now."""
    process = started(folder)
    time.sleep(after)
    return process, [child for child in of_group(process.pid) if child != process.pid]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("begin", [stuck, *(partial(starting, after=after) for after in (0.1, 0.4, 1.0))])
class TestNoProcessIsLeft:
    def test_after_ctrl_c_in_a_terminal(self, tmp_path, begin):
        process, workers = begin(tmp_path)
        os.killpg(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=60)
        assert (process.returncode, out.split(), error) == (0, ["interrupted", "MainThread"], "")
        assert gone(workers)

    def test_after_the_parent_is_killed(self, tmp_path, begin):
        process, workers = begin(tmp_path)
        process.kill()
        process.wait()
        assert gone(workers)


def of_group(group):
    """The processes of a process group."""
    every = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in every if Path(f"/proc/{pid}").exists() and _group(pid) == group]


def _group(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
