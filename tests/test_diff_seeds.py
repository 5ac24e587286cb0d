"""Which circuits of two runs are compared with which."""

from __future__ import annotations

import pytest

from faithcheck.diff.seeds import Noise, match


@pytest.mark.parametrize(
    ("base", "head", "noise", "pairs"),
    [
        ([0, 1, 2], [2, 1, 0], Noise.PAIRED_SEEDS, ([0, 1, 2], [0, 1, 2])),
        ([0, 1, 2, 3], [1, 2], Noise.PAIRED_SEEDS, ([1, 2], [1, 2])),
        ([1, 2], [0, 1, 2, 3], Noise.PAIRED_SEEDS, ([1, 2], [1, 2])),
        ([0, 1], [2, 3, 4], Noise.OTHER_SEEDS, ([0, 1], [2, 3, 4])),
        ([0, 1, 2], [2, 3, 4], Noise.OTHER_SEEDS, ([0, 1, 2], [2, 3, 4])),
        ([0], [0], Noise.PROMPTS, ([0], [0])),
        ([0, 1, 2], [1], Noise.PROMPTS, ([1], [1])),
        ([None], [None], Noise.PROMPTS, ([None], [None])),
        ([0], [1], Noise.UNKNOWN, ([0], [1])),
        ([0], [1, 2, 3], Noise.UNKNOWN, ([0], [1, 2, 3])),
        ([None], [0, 1, 2], Noise.UNKNOWN, ([None], [0, 1, 2])),
        ([], [0, 1], Noise.UNKNOWN, ([], [0, 1])),
    ],
)
def test_circuits_are_paired_by_seed_where_all_seeds_of_one_run_are_in_the_other(base, head, noise, pairs):
    found = match(base, head)
    assert (found.noise, (found.base, found.head)) == (noise, pairs)
