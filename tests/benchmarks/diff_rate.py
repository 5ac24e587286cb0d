"""How often `faithcheck diff` calls a regression between runs that differ in their seeds alone.

    python tests/benchmarks/diff_rate.py planted OUT --instances 20 --seeds 6
    python tests/benchmarks/diff_rate.py pairs --size 3 [--random 250] RUN...

The first makes runs on planted models; the second cuts runs of many seeds into results of a few, pairs each with the
next, and counts what diff says of the pairs. With --random, pairs of disjoint seeds are drawn, so many from each run;
they share seeds with each other, and the limits that are printed do not hold for them.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import diff_planted
from diff_slices import drawn, slices, verdicts
from scipy.stats import binomtest

from faithcheck.diff.comparison import Comparison, compare_runs
from faithcheck.diff.wording import answer


def main() -> None:
    arguments = _arguments()
    if arguments.what == "planted":
        for instance in range(arguments.instances):
            start = time.perf_counter()
            diff_planted.run(instance, arguments.seeds, arguments.steps, arguments.out / str(instance))
            print(f"instance {instance}: {time.perf_counter() - start:.0f} s", flush=True)
    else:
        _count(arguments.runs, arguments.size, arguments.random)


def _count(folders: list[Path], size: int, random: int) -> None:
    """Pairs within a folder only, for another folder may be of another model; of disjoint seeds, each used once."""
    found = []
    for folder in folders:
        parts = list(slices(folder, size))
        pairs = drawn(folder, size, random) if random else zip(parts[::2], parts[1::2], strict=False)
        found += [compare_runs(*pair) for pair in pairs]
    print(f"{len(found)} pairs of {size} seeds against {size} others")
    for what, hits in (
        ("a regression", [pair.regressions > 0 for pair in found]),
        ("a gated metric beyond noise, either way", [_moved(pair) for pair in found]),
        ("another verdict of some check", [any(change.moved for change in pair.checks) for pair in found]),
    ):
        limits = binomtest(sum(hits), len(hits)).proportion_ci()
        print(f"{what}: {sum(hits)} of {len(hits)} [{limits.low:.1%}, {limits.high:.1%}]")
    print(Counter(answer(pair) for pair in found))
    print(Counter(verdict for pair in found for verdict in verdicts(pair.base.loaded.data).values()))


def _moved(pair: Comparison) -> bool:
    return any(moved.move.value in ("better", "worse", "moved") for moved in pair.gated)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    planted = commands.add_parser("planted")
    planted.add_argument("out", type=Path)
    planted.add_argument("--instances", type=int, default=20)
    planted.add_argument("--seeds", type=int, default=6)
    planted.add_argument("--steps", type=int, default=200)
    pairs = commands.add_parser("pairs")
    pairs.add_argument("runs", type=Path, nargs="+")
    pairs.add_argument("--size", type=int, default=3)
    pairs.add_argument("--random", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
