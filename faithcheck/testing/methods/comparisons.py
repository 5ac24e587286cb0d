"""Laws that hold between two trials: the same scores again, in little memory, in company."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from faithcheck.testing.broken import Broken
from faithcheck.testing.methods.trials import Trial

ROUNDING = 1e-6
"""How far scores may be apart that differ by the order of sums only, relative to the largest; trials that are compared
so are in float64."""


def same_again(first: Trial, again: Trial) -> Iterator[Broken]:
    found = _apart(first, again, 0.0)
    if found:
        yield Broken(
            "gives the same scores for the same seed",
            f"{first.what}; and again, by another instance that had extracted from another problem before",
            "the same scores, to the bit",
            found,
            (
                "draw from a torch.Generator seeded with problem.seed, and from nothing else",
                "keep nothing between two calls of extract: a generator made in __init__ goes on where it was",
                "where sums run in parallel, fix their order",
            ),
        )


def keeps_to_memory(trial: Trial, memory: int) -> Iterator[Broken]:
    """No run holds more than the budget, counted as members x prompts x positions x nodes x 4 bytes, unless it has one
    member."""
    largest = max((call for call in trial.log.calls if call.members > 1), key=lambda call: call.bytes, default=None)
    if largest is not None and largest.bytes > memory:
        yield Broken(
            "keeps to the memory budget",
            trial.what,
            f"runs of several members hold at most {memory} bytes (members x prompts x positions x nodes x 4)",
            f"a run of {largest.members} members and {len(largest.tokens)} prompts: {largest.bytes} bytes",
            ("split the members into batches that fit, of one where more do not",),
        )


def same_in_little_memory(first: Trial, thrifty: Trial) -> Iterator[Broken]:
    found = _apart(first, thrifty, ROUNDING)
    if found:
        yield Broken(
            "gives the same scores in little memory",
            thrifty.what,
            "the scores of a large budget, but for rounding",
            found,
            ("batches may split what is computed, not change it: draw random numbers before splitting",),
        )


def same_in_company(alone: Trial, one: Trial, many: Trial, reversed_many: Trial) -> Iterator[Broken]:
    """`extract_many` of one problem is `extract`; of several, each gets its own, in whatever order."""
    for what, trial, place, tolerance in (
        ("extract_many of one problem", one, 0, 0.0),
        ("extract_many of several problems", many, 0, ROUNDING),
    ):
        found = _difference(_flat(alone, 0), _flat(trial, place), tolerance)
        if found:
            yield Broken(
                "gives the same scores in company",
                what,
                "what extract gives for the first problem",
                found,
                ("write extract as `return self.extract_many([problem])[0]`", "draw by problem.seed, for each problem"),
            )
    last = len(many.problems) - 1
    places = range(len(many.problems))
    found = next(
        filter(None, (_difference(_flat(many, p), _flat(reversed_many, last - p), ROUNDING) for p in places)), ""
    )
    if found:
        yield Broken(
            "gives the same scores in company",
            "extract_many of several problems, and of the same in reverse order",
            "each problem has the same scores",
            found,
            (
                "return scores in the order of the problems",
                "what is drawn for a problem depends on its seed, not on its place",
            ),
        )


def _apart(one: Trial, other: Trial, tolerance: float) -> str:
    return _difference(_flat(one, 0), _flat(other, 0), tolerance)


def _flat(trial: Trial, place: int) -> Tensor | None:
    """float[node]; None where there are no such scores, which other laws say."""
    return trial.flat[place] if place < len(trial.flat) else None


def _difference(one: Tensor | None, other: Tensor | None, tolerance: float) -> str:
    if one is None or other is None:
        return ""
    far = (one - other).abs() > tolerance * max(1e-30, float(one.abs().max()))
    if not far.any():
        return ""
    size = float((one - other).abs().max())
    return f"{int(far.sum())} of {len(far)} scores differ, by up to {size:.3g}"
