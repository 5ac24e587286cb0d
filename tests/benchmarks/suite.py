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
OWN, FILES = ("RssAnon", "RssShmem"), ("RssFile",)
"""What /proc says of a process: its own memory, and that of files, which for all of a run are the same libraries."""


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
        peak = [0.0, 0.0]
        watcher = threading.Thread(target=_watch, args=(child, peak))
        watcher.start()
        code = child.wait()
        seconds = time.perf_counter() - start
        watcher.join()
    return {"command": "faithcheck " + " ".join(arguments), "seconds": seconds, "peak": peak, "code": code}


def _watch(child: subprocess.Popen[bytes], peak: list[float]) -> None:
    while child.poll() is None:
        peak[:] = map(max, peak, _resident(child.pid))
        time.sleep(EVERY)


def _resident(root: int) -> tuple[float, float]:
    """MiB resident in a process and all that come from it: mapped files counted once, and counted in each."""
    parents, own, files = {}, {}, {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid] = int(lines["PPid"])
        own[pid], files[pid] = (sum(_mib(lines, name) for name in names) for names in (OWN, FILES))
    found = [pid for pid in parents if _comes_from(pid, root, parents)]
    alone = sum(own[pid] for pid in found)
    return alone + max((files[pid] for pid in found), default=0), alone + sum(files[pid] for pid in found)


def _mib(lines: dict[str, str], name: str) -> float:
    return int(lines.get(name, "0 kB").split()[0]) / 1024


def _comes_from(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != root:
        pid = parents[pid]
    return pid == root


def render(data: dict[str, Any]) -> list[str]:
    rows = [[f"`{r['command']}`", minutes(r["seconds"]), *map(number, r["peak"]), r["code"]] for r in data["rows"]]
    text = f"""
        From the start of the process to its end, once. Memory is the most seen, every {EVERY} s, in the process and its
        children together: with the pages of mapped files, which are the same libraries in each, counted once, those of
        the process that has most of them; and counted in each. Exit code 1 means that a gate failed, 4 that nothing
        failed and something was inconclusive."""
    columns = ["command", "minutes", "peak memory, MiB", "libraries counted in each", "exit code"]
    return [paragraph(text), *table(columns, rows)]
