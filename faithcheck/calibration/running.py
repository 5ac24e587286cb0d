"""Calibrating from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from faithcheck.calibration.calibration import Calibration
from faithcheck.calibration.pool import cores, run_units
from faithcheck.calibration.population import find_checks, find_families
from faithcheck.calibration.records import Instance, Unit
from faithcheck.errors import UserError


@dataclass(frozen=True)
class Progress:
    """How many instances are done, of how many; what share of the work that is about; and the last one.

    The first is 0 of them and None, once the arguments are known to be good.
    """

    done: int
    total: int
    share: float
    instance: Instance | None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; `calibration` holds what was finished."""

    def __init__(self, calibration: Calibration):
        super().__init__()
        self.calibration = calibration


def calibrate(
    families: Sequence[str] | None = None,
    checks: Sequence[str] | None = None,
    instances: int = 50,
    *,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Calibration:
    """Run checks on the instances of families; the seeds are 0 to instances - 1.

    families, checks: names or `path/to/file.py:Class`, by default all that are installed. workers: how many processes,
    by default one a CPU; the result does not depend on it. They are spawned, so a script calls this under
    `if __name__ == "__main__":`.

    Raises UserError for fewer than 2 instances, an unknown name or where no check is run on any family, BrokenPlugin
    where a plugin cannot be built, and Interrupted on Ctrl-C. Whatever an instance raises is an ERROR in the result.
    """
    if instances < 2:
        raise UserError(f"--instances {instances}: at least 2 are needed, one to choose thresholds on, one to report")
    found, tested = find_families(families), tuple(find_checks(checks))
    if not any(family.runs(check) for family in found for check in tested):
        raise UserError("nothing to run: these checks are of a method, and none of these families is for such checks")
    asked = {"instances": instances, "checks": checks and list(checks), "families": families and list(families)}
    units = [Unit(family, seed, tested) for seed in range(instances) for family in found]
    done: list[Instance] = []
    try:
        _run(units, cores() if workers is None else workers, done, on_progress)
    except KeyboardInterrupt:
        raise Interrupted(Calibration(found, tested, asked, _ordered(units, done), interrupted=True)) from None
    return Calibration(found, tested, asked, _ordered(units, done))


def _run(units: Sequence[Unit], workers: int, done: list[Instance], on_progress: Callable[[Progress], None]) -> None:
    """Appends each instance to `done` as it is finished."""
    weights = {unit.family.name: unit.weight for unit in units}
    on_progress(Progress(0, len(units), 0.0, None))
    with closing(run_units(units, workers)) as finished:
        for instance in finished:
            done.append(instance)
            share = sum(weights[one.family] for one in done) / sum(unit.weight for unit in units)
            on_progress(Progress(len(done), len(units), share, instance))


def _ordered(units: Sequence[Unit], done: Sequence[Instance]) -> list[Instance]:
    """By family, in the order they were named, and seed."""
    names = list(dict.fromkeys(unit.family.name for unit in units))
    return sorted(done, key=lambda instance: (names.index(instance.family), instance.seed))
