"""A process of its own that extracts one circuit: `width_child.py WIDTH STEPS` prints its resident memory in MiB."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pruning import Pruning
from widths import task_model


def main() -> None:
    width, steps = map(int, sys.argv[1:])
    pruning = Pruning(task_model(width), "pronoun")
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on: making a widened model takes more than it
    pruning.cutter.cut(pruning.ours(0, steps))
    print(json.dumps({"before": before, "peak": _memory("VmHWM")}))


def _memory(kind: str) -> float:
    """MiB that Linux says of this process: resident now (VmRSS), or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 1024


if __name__ == "__main__":
    main()
