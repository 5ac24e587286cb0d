"""Which errors count as memory that ran out."""

import numpy as np
import pytest
import torch
from loky.process_executor import TerminatedWorkerError

from faithcheck.memory import out_of_memory


def of(ask):
    try:
        ask()
    except Exception as error:
        return error
    pytest.fail("nothing was raised")


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (of(lambda: torch.empty(1 << 60)), True),
        (of(lambda: np.empty(1 << 50)), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (TerminatedWorkerError("a worker was ended"), True),
        (of(lambda: torch.empty(-1)), False),
        (RuntimeError("no luck"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error, ran_out):
    assert out_of_memory(error) is ran_out
