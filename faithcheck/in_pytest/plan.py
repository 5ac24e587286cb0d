"""What is run for one task of a suite, as arguments of `faithcheck run`."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from faithcheck.overrides import check_index
from faithcheck.suite import LoadedSuite


@dataclass(frozen=True)
class Plan:
    """A task of a suite, by its place there. `file` is the suite's, from the root of the file system."""

    loaded: LoadedSuite
    file: Path
    place: int

    def arguments(self, start: Path, method: str | None, selected: Collection[str]) -> list[str]:
        """start: the folder where the command line is to be typed. selected: the checks, by their names in the suite.

        Only what differs from the suite is said, so where all is selected the line is one that a person would type.
        """
        suite = self.loaded.suite
        words = [os.path.relpath(self.file, start)]
        if method is not None:
            words += ["--method", method]
        if len(suite.tasks) > 1:
            words += ["--set", f"tasks={_yaml([suite.tasks[self.place]])}"]
        if len(selected) < len(suite.checks):
            words += ["--set", f"checks={_yaml(self._as_written(selected))}"]
        return words

    def _as_written(self, selected: Collection[str]) -> list[object]:
        """The selected checks with their gates and parameters; one that always runs need not be in the suite."""
        data = self.loaded.marked.data
        names = [entry.name for entry in self.loaded.suite.checks if entry.name in selected]
        places = {name: check_index(data, name) for name in names}
        return [name if place is None else data["checks"][place] for name, place in places.items()]


def _yaml(value: object) -> str:
    """JSON, which is YAML too but for what JSON writes as two escapes and what YAML allows only escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)
