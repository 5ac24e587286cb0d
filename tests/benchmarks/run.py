"""The benchmarks: `python tests/benchmarks/run.py [NAME...] [--quick]` times them and writes docs/performance.md.

Each benchmark writes its results to faithcheck-results/benchmarks/NAME.json as soon as it is done, and the page is
rendered from all that lie there; so one that was interrupted is run again by its name, and the others stay.
With --quick everything goes to faithcheck-results/benchmarks-quick/, the page too.
"""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import compact
import compiled
import extraction
import extraction_wide
import gpu
import machine
import members
import page
import peak
import suite
import width
from progress import minutes
from timing import clock

from faithcheck.allocator import keep_freed_memory

BENCHMARKS = (peak, extraction, extraction_wide, width, compact, members, compiled, suite, gpu)


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    results = machine.ROOT / "faithcheck-results" / ("benchmarks-quick" if arguments.quick else "benchmarks")
    results.mkdir(parents=True, exist_ok=True)
    chosen = [b for b in BENCHMARKS if b is peak or not arguments.names or b.NAME in arguments.names]
    for place, benchmark in enumerate(chosen):
        left = sum(b.ESTIMATE for b in chosen[place:])
        about = "" if arguments.quick else f", all that is left about {minutes(left)} on two idle cores"
        print(f"{place + 1}/{len(chosen)} {benchmark.NAME}{about}", flush=True)
        found = _measured(benchmark, arguments)
        (results / f"{benchmark.NAME}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(f"  {benchmark.NAME} took {minutes(found['seconds'])}", flush=True)
        written = page.write(results if arguments.quick else machine.ROOT / "docs", _read(results), BENCHMARKS)
    print(f"written: {written.relative_to(machine.ROOT)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/run.py", description=__doc__)
    names = [benchmark.NAME for benchmark in BENCHMARKS]
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; all without one; peak always runs"
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run of a minute or two, to another folder")
    parser.add_argument("--seeds", type=int, help="paired seeds of the extractions (8)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(names))
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(names)}")
    return arguments


def _measured(benchmark: ModuleType, arguments: argparse.Namespace) -> dict[str, Any]:
    options = {"quick": arguments.quick}
    if "seeds" in inspect.signature(benchmark.run).parameters:
        options["seeds"] = arguments.seeds
    seconds, data = clock(lambda: benchmark.run(**options))
    about = {"quick": arguments.quick, "machine": machine.facts(), "seconds": seconds}
    return {**about, "data": data}


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


if __name__ == "__main__":
    main()
