"""What is going on and how long it will still take."""

from __future__ import annotations

import time


class Progress:
    """Parts of one benchmark; the time left is guessed from the parts that are done."""

    def __init__(self, name: str, parts: int):
        self.name, self.parts, self.done, self.start = name, parts, 0, time.perf_counter()

    def part(self, what: str) -> None:
        """Say that the next part begins."""
        gone = time.perf_counter() - self.start
        left = f", about {minutes(gone / self.done * (self.parts - self.done))} left" if self.done else ""
        print(f"  {self.name} {self.done + 1}/{self.parts}: {what} ({minutes(gone)} gone{left})", flush=True)
        self.done += 1


def minutes(seconds: float) -> str:
    """`m:ss`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
