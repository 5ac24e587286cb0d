"""Whole runs of the bundled suites, as child processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from machine import ROOT
from progress import Progress, minutes
from tables import number, paragraph, table

NAME = "suite"
TITLE = "The bundled suites"
ESTIMATE = 420
COMMAND = (sys.executable, "-c", "from faithcheck.cli import main; raise SystemExit(main())")
EVERY = 0.1
"""Seconds between two looks at the memory."""


def run(quick: bool) -> dict[str, Any]:
    """Each suite once."""
    names = ("quick",) if quick else ("quick", "default")
    extra = ("--model", "stories-tiny", "--seeds", "1") if quick else ()
    progress = Progress(NAME, len(names))
    rows = []
    for name in names:
        progress.part(f"suites/{name}.yaml")
        rows.append({"suite": name, **_run(f"suites/{name}.yaml", extra)})
    return {"rows": rows}


def _run(suite: str, extra: tuple[str, ...]) -> dict[str, Any]:
    arguments = ["run", suite, "--method", "sparse_prune", *extra]
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        child = subprocess.Popen(
            [*COMMAND, *arguments, "--out", out], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        peak: list[float] = [0.0]
        watcher = threading.Thread(target=_watch, args=(child, peak))
        watcher.start()
        code = child.wait()
        seconds = time.perf_counter() - start
        watcher.join()
    return {"command": "faithcheck " + " ".join(arguments), "seconds": seconds, "peak": peak[0], "code": code}


def _watch(child: subprocess.Popen[bytes], peak: list[float]) -> None:
    while child.poll() is None:
        peak[0] = max(peak[0], _resident(child.pid))
        time.sleep(EVERY)


def _resident(root: int) -> float:
    """MiB resident in a process and all that come from it, shared pages counted in each."""
    parents, sizes = {}, {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid], sizes[pid] = int(lines["PPid"]), int(lines.get("VmRSS", "0 kB").split()[0]) / 1024
    return sum(size for pid, size in sizes.items() if _comes_from(pid, root, parents))


def _comes_from(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != root:
        pid = parents[pid]
    return pid == root


def render(data: dict[str, Any]) -> list[str]:
    rows = [[f"`{r['command']}`", minutes(r["seconds"]), number(r["peak"]), r["code"]] for r in data["rows"]]
    text = f"""
        From the start of the process to its end, once. Memory is the most seen, every {EVERY} s, in the process and its
        children together. Exit code 1 means that a gate failed, 4 that nothing failed and something was
        inconclusive."""
    return [paragraph(text), *table(["command", "minutes", "peak memory, MiB", "exit code"], rows)]
