"""docs/performance.md and its plot, from what the benchmarks wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import plot
from progress import minutes
from tables import paragraph, table

Results = Mapping[str, Mapping[str, Any]]
INTRODUCTION = """
    Everything here is timed in one process, what is compared side by side: one after the other and over again, after a
    warm-up. "Ours" is sparse_prune with one penalty. The reference is `tests/benchmarks/reference.py`: the published
    algorithm (Gao et al. 2025, appendix A.5) with nothing done for speed and with the settings of sparse_prune. Cells
    are the median (least to greatest) of the repeats; ratios are taken repeat by repeat. This page is written by the
    command below, in full or benchmark by benchmark."""


def write(folder: Path, results: Results, modules: Sequence[ModuleType]) -> Path:
    """The page with a section for every benchmark that has results, in the order of the modules."""
    folder.mkdir(parents=True, exist_ok=True)
    present = [module for module in modules if module.NAME in results]
    picture = _picture(results)
    if picture:
        (folder / "performance.svg").write_text(picture)
    lines = ["# Performance", "", paragraph(INTRODUCTION), *_about(results, present)]
    for module in present:
        lines += ["", f"## {module.TITLE}", "", *_section(module, results)]
        if module.NAME == "width" and picture:
            lines += ["", "![Cost per step against width, log-log](performance.svg)"]
    page = folder / "performance.md"
    page.write_text(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n")
    return page


def _section(module: ModuleType, results: Results) -> list[str]:
    data = results[module.NAME]["data"]
    if module.NAME.startswith("extraction"):
        return module.render(data, results["peak"]["data"]["best"])
    return module.render(data)


def _about(results: Results, present: Sequence[ModuleType]) -> list[str]:
    """The machine, and when and from which commit each section is."""
    machine = results[present[-1].NAME]["machine"]
    keys = ("processor", "cores", "threads", "gpu", "torch", "python")
    rows = [[key, machine[key] or "none"] for key in keys]
    total = sum(results[module.NAME]["seconds"] for module in present)
    rows += [["command", "`python tests/benchmarks/run.py`"], ["total time, minutes", minutes(total)]]
    return [*table(["", ""], rows), *_origins(results, present), *_warnings(results, present)]


def _origins(results: Results, present: Sequence[ModuleType]) -> list[str]:
    found = [(module.NAME, results[module.NAME]) for module in present]
    rows = [[f"`{n}`", r["machine"]["date"], r["machine"]["commit"], minutes(r["seconds"])] for n, r in found]
    return table(["benchmark", "date", "commit", "minutes"], rows)


def _warnings(results: Results, present: Sequence[ModuleType]) -> list[str]:
    """Quick results are no measurements; sections of different machines cannot be compared."""
    found = [results[module.NAME] for module in present]
    notes = []
    if any(result["quick"] for result in found):
        notes += ["", "**Written by `--quick`: too few steps and repeats to read anything from the figures.**"]
    if len({tuple(result["machine"][key] for key in ("processor", "cores", "torch")) for result in found}) > 1:
        notes += ["", "**The sections were timed on different machines.**"]
    return notes


def _picture(results: Results) -> str | None:
    """Cost per step against width, where both benchmarks that it needs have results."""
    if not {"width", "compact"} <= set(results):
        return None
    rows = results["width"]["data"]["rows"]
    series = {
        "reference": [(row["width"], 1000 * median(row["reference"])) for row in rows],
        "ours, whole extraction": [(row["width"], 1000 * median(row["ours"])) for row in rows],
    }
    for row in results["compact"]["data"]["rows"]:
        kind, width = row["model"].split()
        if kind == "random":
            name = f"ours, compact, {row['nodes']} nodes"
            series.setdefault(name, []).append((int(width), 1000 * median(row["step"])))
    return plot.svg(series, "d (residual channels)", "ms per step of 64 prompts")
