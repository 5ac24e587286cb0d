"""`faithcheck run` in a process of its own, so that neither what tests have done to torch nor a plugin that crashes
counts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from faithcheck.text import visible

CHILD = [sys.executable, "-u", "-P", "-m", "faithcheck.in_pytest.child"]
_LOOK_EVERY = 0.1
_TIME_TO_STOP = 30.0
"""Seconds for an interrupted run to write what was finished."""
_LINES_OF_LOG = 15


def run(arguments: Sequence[str], cwd: Path, log: Path, keeps_open: Sequence[int], show: Callable[[str], None]) -> int:
    """Run the command line, what it prints going to the file `log`, and return its exit code (minus a signal).

    keeps_open: file descriptors that the process holds as well. show: called with every line that it prints.
    Ctrl-C, and whatever else ends the wait, is handed on to it as one Ctrl-C.
    """
    order = {"parent": os.getpid(), "path": sys.path, "arguments": list(arguments)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            CHILD,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=keeps_open,
            process_group=0,  # a terminal sends Ctrl-C to a whole group: this one gets it from us, once
        )
    try:
        _tell(process, json.dumps(order))
        with log.open(encoding="utf-8", errors="replace") as lines:
            while process.poll() is None:
                _show_new(lines, show)
                time.sleep(_LOOK_EVERY)
            _show_new(lines, show)
    except BaseException:
        _stop(process)
        raise
    return process.returncode


def _tell(process: subprocess.Popen[bytes], text: str) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin:
        process.stdin.write(text.encode())


def _show_new(lines: Iterable[str], show: Callable[[str], None]) -> None:
    for line in lines:
        show(line.rstrip("\n"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_TIME_TO_STOP)
    except BaseException:  # a second Ctrl-C
        process.kill()
        process.wait()
        raise


def why(code: int, log: Path) -> str:
    """The error that the command line ends with, or the end of what it printed."""
    lines = visible(log.read_text(encoding="utf-8", errors="replace")).rstrip().splitlines()
    said = [place for place, line in enumerate(lines) if line.startswith("faithcheck: ")]
    text = "\n".join(lines[said[-1] :] if said else lines[-_LINES_OF_LOG:])
    if code < 0:
        return f"the run was ended by {_signal(-code)}\n{text}".rstrip()
    return text or f"the run ended with exit code {code} and no result"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
