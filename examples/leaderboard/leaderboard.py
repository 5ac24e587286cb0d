"""Runs every installed method on the bundled models with one suite, and writes one table of what came out.

    python examples/leaderboard/leaderboard.py --out leaderboard

A run whose folder has a finished result of the same suite, seeds and version of faithcheck is not run again, so a table
that was interrupted can be gone on with.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from faithcheck import plugins, run_suite
from faithcheck.errors import UserError
from faithcheck.progress import ProgressReport
from faithcheck.suite import load_suite
from faithcheck.version import __version__

MODELS = ("stories-tiny", "stories-sparse")


def main() -> int:
    args = _arguments()
    out, methods = Path(args.out), args.method or [entry.name for entry in plugins.names("methods")]
    out.mkdir(parents=True, exist_ok=True)
    parts = ["# Leaderboard", "", _about(args)]
    for model in args.model or MODELS:
        results = {}
        for method in methods:
            print(f"{model}, {method}", file=sys.stderr)
            results[method] = _result(args, model, method, out / re.sub(r"[^\w.-]", "-", f"{model}-{method}"))
        parts += ["", f"## {model}", "", *table(results)]
    (out / "leaderboard.md").write_text("\n".join(parts) + "\n")
    print(out / "leaderboard.md")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="default", help="default: default")
    parser.add_argument("--seeds", type=int, help="instead of the suite's")
    parser.add_argument("--model", action="append", help=f"may be repeated; default: {' and '.join(MODELS)}")
    parser.add_argument("--method", action="append", help="may be repeated; default: every installed one")
    parser.add_argument("--out", default="leaderboard", help="default: leaderboard")
    return parser.parse_args()


def _about(args: argparse.Namespace) -> str:
    seeds = f" with {args.seeds} seeds" if args.seeds else ""
    return (
        f"Suite `{args.suite}`{seeds}. Nodes and loss (validation prompts, nats) are medians over the seeds; "
        "reached: circuits that meet the target loss."
    )


def _result(args: argparse.Namespace, model: str, method: str, out: Path) -> dict | str:
    """The content of result.json, or why there is none."""
    file = out / "result.json"
    if not file.is_file() or not is_of(json.loads(file.read_text()), args.suite, args.seeds):
        try:
            with ProgressReport(Console(stderr=True)) as progress:
                run_suite(args.suite, model=model, method=method, seeds=args.seeds, out=out, on_event=progress.handle)
        except (UserError, plugins.BrokenPlugin) as error:
            return str(error)
    return json.loads(file.read_text())


def is_of(result: dict, suite: str, seeds: int | None) -> bool:
    """Whether a result is whole, and of this suite, as many seeds and the installed faithcheck."""
    asked = load_suite(suite, [] if seeds is None else [f"seeds={seeds}"]).suite
    same = (result["suite"]["name"], result["suite"]["seeds"]) == (asked.name, asked.seeds)
    return same and not result["interrupted"] and result["environment"]["faithcheck"] == __version__


def table(results: dict[str, dict | str]) -> Iterator[str]:
    """A row for each method and task."""
    checks = list(dict.fromkeys(c["check"] for r in results.values() if isinstance(r, dict) for c in r["checks"]))
    head = ["method", "task", "nodes", "loss", "reached", *checks]
    yield _row(head)
    yield _row(["---"] * len(head))
    for method, result in results.items():
        if isinstance(result, str):
            yield _row([method, result, *[""] * (len(head) - 2)])
            continue
        verdicts = {(c["task"], c["check"]): c["verdict"] for c in result["checks"]}
        for task in dict.fromkeys(task for task, _ in verdicts):
            sizes = _sizes([c for c in result["circuits"] if c["task"] == task])
            yield _row([method, task, *sizes, *(verdicts.get((task, check), "") for check in checks)])


def _sizes(circuits: Sequence[dict]) -> list[str]:
    if not circuits:
        return ["", "", ""]
    size = statistics.median(c["size"] for c in circuits)
    loss = statistics.median(math.inf if c["loss"] is None else c["loss"] for c in circuits)
    return [f"{size:g}", f"{loss:.3f}", f"{sum(c['reached'] for c in circuits)}/{len(circuits)}"]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
