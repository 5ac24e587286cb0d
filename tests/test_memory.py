"""Which errors count as memory that ran out."""

import errno
import os
import signal

import numpy as np
import pytest
import torch
from loky import ProcessPoolExecutor

from faithcheck.memory import out_of_memory


def of(ask):
    try:
        ask()
    except Exception as error:
        return error
    pytest.fail("nothing was raised")


def wrapped(error, by):
    def ask():
        try:
            raise error
        except Exception as inner:
            by(inner)

    return of(ask)


def raised_from(cause):
    raise ValueError("no batch") from cause


def raised_meanwhile(error):
    raise ValueError("no batch")


def raised_instead(error):
    raise ValueError("no batch") from None


class Wordless(Exception):
    def __str__(self):
        raise ValueError("no words")


def circle():
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (of(lambda: torch.empty(1 << 60)), True),
        (of(lambda: np.empty(1 << 50)), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (wrapped(MemoryError(), raised_from), True),
        (wrapped(MemoryError(), raised_meanwhile), True),
        (wrapped(MemoryError(), raised_instead), False),
        (of(lambda: torch.empty(-1)), False),
        (OSError(errno.ENOENT, "No such file"), False),
        (RuntimeError("no luck"), False),
        (Wordless(), False),
        (circle(), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error, ran_out):
    assert out_of_memory(error) is ran_out


@pytest.mark.parametrize(("number", "ran_out"), [(signal.SIGKILL, True), (signal.SIGSEGV, False)])
def test_a_killed_worker_counts_and_one_that_crashed_does_not(number, ran_out):
    with ProcessPoolExecutor(max_workers=1) as pool:
        error = of(pool.submit(_ends_by, int(number)).result)
    assert type(error).__name__ == "TerminatedWorkerError"
    assert out_of_memory(error) is ran_out


def _ends_by(number):
    os.kill(os.getpid(), number)
