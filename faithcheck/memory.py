"""Which errors mean that memory ran out."""

from __future__ import annotations

import torch


def out_of_memory(error: BaseException) -> bool:
    """Whether Python, numpy, a GPU or torch's CPU allocator said so, or the system ended a worker process, as it does
    where memory is short."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return "DefaultCPUAllocator: can't allocate memory" in str(error) or type(error).__name__ == "TerminatedWorkerError"
