"""The sentences of a comparison: its answer, and what its noise is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from faithcheck.diff.compared import Compared, Move, centre
from faithcheck.diff.comparison import Comparison
from faithcheck.diff.seeds import Matched, Noise, Seed
from faithcheck.diff.values import Values
from faithcheck.estimate import Estimate
from faithcheck.report.numbers import number
from faithcheck.text import counted
from faithcheck.verdict import JUDGED


def answer(found: Comparison) -> str:
    """The first line."""
    if found.regressions:
        return counted(found.regressions, "regression")
    return "no change" if found.is_empty else _moves(found) + _verdicts(found)


def _moves(found: Comparison) -> str:
    moves = [m.move for m in found.gated]
    counts = {what: moves.count(what) for what in _OUTCOMES}
    said = [f"{counted(number, 'gated metric')} {_OUTCOMES[what]}" for what, number in counts.items() if number]
    if said:
        return "no regression; " + ", ".join(said)
    if any(m.move is Move.MOVED for m in found.reported) or any(_is_certain(found)):
        return "no regression, but changes"
    unknown = sum(m.move is Move.UNKNOWN for m in (*found.gated, *found.reported))
    if unknown and not any(m.move is Move.WITHIN for m in (*found.gated, *found.reported)):
        return "changes, but whether beyond noise cannot be told"
    return "changes within noise" + (f"; of {counted(unknown, 'metric')} it cannot be told" if unknown else "")


_OUTCOMES = {
    Move.BETTER: "better beyond noise",
    Move.WORSE: "worse beyond noise, whose gate holds",
    Move.MOVED: "moved beyond noise",
}


def _verdicts(found: Comparison) -> str:
    """How many are worse and better: within noise they may be, but who looks only here has to know."""
    pairs = [(change.base, change.head) for change in found.checks]
    steps = [JUDGED.index(now) - JUDGED.index(was) for was, now in pairs if was in JUDGED and now in JUDGED]
    counts = {"worse": sum(step > 0 for step in steps), "better": sum(step < 0 for step in steps)}
    said = [f"{counted(number, 'verdict')} {what}" for what, number in counts.items() if number]
    return "".join(f"; {text}" for text in said)


def _is_certain(found: Comparison) -> Iterator[bool]:
    """Whether a check has another kind of verdict, or is new or gone."""
    for change in found.checks:
        yield change.moved and not (change.base in JUDGED and change.head in JUDGED)


def noise(found: Comparison) -> list[str]:
    """What differences are held against, a line for each kind that there is; of nothing that differs, all kinds."""
    every = [*found.gated, *found.reported]
    compared = [one for one in every if one.move is not Move.SAME] or every
    widest: dict[Noise, Matched] = {}
    for matched in (one.matched for one in compared):
        known = widest.get(matched.noise)
        if known is None or len(known.base) + len(known.head) < len(matched.base) + len(matched.head):
            widest[matched.noise] = matched
    lines = [_noise(matched) for matched in widest.values()]
    if any(one.independently and not one.is_whole for one in compared):
        lines.append(_INDEPENDENTLY)
    return lines


_INDEPENDENTLY = (
    "Where no draws of the same prompts are at hand, the intervals of both runs were combined as if their errors were "
    "independent: on the same prompts that is too wide"
)


def _noise(matched: Matched) -> str:
    if matched.noise is Noise.PAIRED_SEEDS:
        seeds = listed(matched.base)
        return f"Noise: the extraction's, from differences between circuits of the same seeds ({seeds})"
    if matched.noise is Noise.OTHER_SEEDS:
        sides = f"{listed(matched.base)} in BASE, {listed(matched.head)} in HEAD"
        return f"Noise: the extraction's, from the spread over other seeds ({sides})"
    if matched.noise is Noise.UNKNOWN:
        if not (matched.base and matched.head):
            return "Noise: unknown, for one of the runs has no circuit"
        sides = f"{listed(matched.base)} in BASE, {listed(matched.head)} in HEAD"
        return f"Noise: unknown, for one circuit does not tell how seeds differ ({sides}); nothing counts as beyond it"
    if matched.base == [None]:
        return "Noise: of prompts only, one given circuit in each run"
    return f"Noise: of prompts only, one circuit of seed {matched.base[0]} in each; what other seeds give is not known"


def listed(seeds: Sequence[Seed]) -> str:
    """`0 to 5`, `0, 2`, `the given circuit`."""
    numbers = [seed for seed in seeds if seed is not None]
    if not numbers:
        return "the given circuit"
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def level(compared: Compared, values: Values, seeds: Sequence[Seed]) -> str:
    """`0.69 [0.68, 0.70]` of one circuit; of several the mean, of ratios the geometric one, or how many missed."""
    if compared.is_whole and values.whole is not None:
        return _of_one(values.whole)
    found = [values.by_seed[seed] for seed in seeds]
    if len(found) == 1:
        return _of_one(found[0])
    missed = sum(math.isinf(one.value) for one in found)
    if missed:
        return f"not reached by {missed} of {len(found)}"
    numbers = [one.value for one in found]
    is_log = compared.name.is_ratio and min(numbers) > 0
    return number(math.exp(centre([math.log(n) for n in numbers])) if is_log else centre(numbers))


def shifted(compared: Compared) -> str:
    """`+0.12 [0.03, 0.21]`; of a ratio the factor, `x 1.3 [1.1, 1.6]`."""
    shift = compared.shift
    if shift is None or shift.value is None:
        return "-"
    if not compared.name.is_ratio:
        return ("+" if shift.value >= 0 else "") + number(shift.value) + _limits(shift.low, shift.high)
    low, high = (None if x is None else _exp(x) for x in (shift.low, shift.high))
    return "x " + number(_exp(shift.value)) + _limits(low, high)


def _of_one(found: Estimate) -> str:
    return "not reached" if math.isinf(found.value) else number(found.value) + _limits(found.low, found.high)


def _limits(low: float | None, high: float | None) -> str:
    if low is None or high is None or low == high:
        return ""
    return f" [{', '.join(number(x) if math.isfinite(x) else 'unbounded' for x in (low, high))}]"


def _exp(x: float) -> float:
    return math.exp(min(x, 700.0)) if x != math.inf else math.inf
