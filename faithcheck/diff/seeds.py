"""Which circuits of two runs may be compared with which."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

Seed = int | None  # None: the circuit that was given


class Noise(Enum):
    """What a difference is held against."""

    PAIRED_SEEDS = "paired seeds"
    OTHER_SEEDS = "other seeds"
    PROMPTS = "prompts"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Matched:
    """The circuits that are compared: in pairs of a seed, or all of one run with all of the other."""

    noise: Noise
    base: list[Seed]
    head: list[Seed]


def match(base: Collection[Seed], head: Collection[Seed]) -> Matched:
    """Pairs of a seed where all seeds of one run are in the other too; a single pair leaves only the noise of prompts.

    Else both runs' spread over seeds, for which each needs two; of one circuit and other seeds the noise is unknown.
    """
    one, other = _ordered(base), _ordered(head)
    common = [seed for seed in one if seed in other]
    if common and len(common) == min(len(one), len(other)):
        return Matched(Noise.PAIRED_SEEDS if len(common) > 1 else Noise.PROMPTS, common, common)
    return Matched(Noise.OTHER_SEEDS if min(len(one), len(other)) > 1 else Noise.UNKNOWN, one, other)


def _ordered(seeds: Collection[Seed]) -> list[Seed]:
    return sorted(set(seeds), key=lambda seed: (seed is None, seed or 0))
