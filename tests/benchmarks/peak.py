"""What the machine can do at most: products of square float32 matrices."""

from __future__ import annotations

from typing import Any

import torch
from progress import Progress
from tables import cell, table
from timing import alternate, spread

NAME = "peak"
TITLE = "The machine's matrix products"
ESTIMATE = 10
SIZES = (1024, 1536, 2048)


def run(quick: bool) -> dict[str, Any]:
    """GFLOP/s by threads and size, and the most at each number of threads."""
    usual = torch.get_num_threads()
    counts = sorted({1, 2, usual} if usual > 1 else {1})
    progress = Progress(NAME, len(counts))
    rows = []
    try:
        for threads in counts:
            progress.part(f"{threads} threads")
            torch.set_num_threads(threads)
            rows.append({"threads": threads, "gflops": {str(n): _gflops(n, 3 if quick else 9) for n in SIZES}})
    finally:
        torch.set_num_threads(usual)
    best = {str(row["threads"]): max(s["median"] for s in row["gflops"].values()) for row in rows}
    return {"rows": rows, "best": best}


def _gflops(size: int, repeats: int) -> dict[str, float]:
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    seconds = alternate({"product": lambda: torch.mm(a, b, out=out)}, repeats)["product"]
    return spread([2 * size**3 / taken / 1e9 for taken in seconds])


def render(data: dict[str, Any]) -> list[str]:
    head = ["threads", *(f"{size} x {size}" for size in SIZES)]
    rows = [[row["threads"], *(cell(row["gflops"][str(size)]) for size in SIZES)] for row in data["rows"]]
    return ["float32 GFLOP/s:", *table(head, rows)]
