"""attention_agreement: where each used head looks, in the model and in the circuit, on real prompts."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from faithcheck.report.html.assets import environment
from faithcheck.report.html.figure import row
from faithcheck.report.html.finding import Finding
from faithcheck.report.html.panels import panels
from faithcheck.report.html.room import Room
from faithcheck.report.html.words import number, percent, seed_name, sentence_of, token
from faithcheck.result_schema import ShownPrompt
from faithcheck.text import counted

if TYPE_CHECKING:
    from faithcheck.report.html.finding import Array

SHOWN = 4
"""Heads of a circuit that are open; the others unfold."""
SIDES = ("model", "circuit")


def draw(finding: Finding) -> Markup:
    seeds = [seed for seed in finding.seeds("head") if finding.tensor(seed, "head").size]
    if not seeds:
        return row(panels(finding))
    shown = row(panels(finding))
    found = [(seed, head) for seed in seeds for head in _heads(finding, seed)]
    heads, left_out = _within(Room.of(finding.data).patterns, found)
    circuits: list[dict[str, Any]] = [
        {"name": seed_name(seed), "heads": [head for own, head in heads if own == seed]}
        for seed in seeds
        if any(own == seed for own, _ in heads)
    ]
    if not circuits:
        return shown
    prompts = _prompts(finding, circuits[0]["heads"][0]["shape"])
    template = environment().get_template("attention.html")
    return shown + Markup(
        template.render(circuits=circuits, prompts=prompts, sides=SIDES, left_out=left_out, table=table, shown=SHOWN)
    )


def table(head: dict[str, Any], side: str, prompt: int, prompts: list[dict[str, Any]]) -> list[list[int | None]]:
    """One pattern as percents, [query][key and sink]; None where a query cannot look."""
    _, queries, keys = head["shape"]
    values = base64.b64decode(head[side])[prompt * queries * keys :]
    length = len(prompts[prompt]["tokens"])
    return [
        [_percent(values[q * keys + k]) if k <= q else None for k in range(length)]
        + [_percent(values[(q + 1) * keys - 1])]
        for q in range(length)
    ]


def _heads(finding: Finding, seed: int | None) -> Iterator[dict[str, Any]]:
    """The used heads of a circuit, the one that matters most first, with their patterns as bytes."""
    import numpy as np

    heads, importance = finding.tensor(seed, "head"), np.asarray(finding.tensor(seed, "importance"), np.float64)
    apart = np.asarray(finding.tensor(seed, "total_variation"), np.float64).mean(1)
    group, whole = _groups(finding, seed, importance)
    for place in np.argsort(-importance, kind="stable"):
        name = f"{int(heads[place][0])}.{int(heads[place][1])}"
        patterns = {side: finding.tensor(seed, f"pattern/{name}/{side}") for side in SIDES}
        yield {
            "name": name,
            "share": _share(float(importance[place]), whole, int((group == group[place]).sum())),
            "apart": number(float(apart[place])),
            "shape": list(patterns["model"].shape),
            **{side: _bytes(pattern) for side, pattern in patterns.items()},
        }


def _groups(finding: Finding, seed: int | None, importance: Array) -> tuple[Array, float]:
    """Of every head which have its values too, and the importance of all: heads of the same values have it together."""
    import numpy as np

    try:
        group = finding.tensor(seed, "shares_values")
    except KeyError:
        group = np.arange(len(importance))
    return group, float(importance[np.unique(group, return_index=True)[1]].sum())


def _share(importance: float, whole: float, heads: int) -> str:
    share = percent(importance / whole) if whole > 0 else "unknown share"
    together = f", with {counted(heads - 1, 'other head')} of the same values" if heads > 1 else ""
    return f"{share} of the importance{together}"


def _within(
    room: int, heads: list[tuple[int | None, dict[str, Any]]]
) -> tuple[list[tuple[int | None, dict[str, Any]]], int]:
    """Round by round the next head of every circuit, while there is room; how many were left out."""
    rounds: dict[int | None, int] = {}
    order = []
    for seed, head in heads:
        rounds[seed] = rounds.get(seed, -1) + 1
        order.append((rounds[seed], seed, head))
    kept: list[tuple[int | None, dict[str, Any]]] = []
    for _, seed, head in sorted(order, key=lambda item: item[0]):
        room -= len(head["model"]) + len(head["circuit"])
        if room >= 0 or not kept:
            kept.append((seed, head))
    return kept, len(heads) - len(kept)


def _prompts(finding: Finding, shape: list[int]) -> list[dict[str, Any]]:
    """The prompts of the patterns; by number where the result does not say them."""
    count, queries = shape[0], shape[1]
    known: list[ShownPrompt] = list(finding.prompts)[:count]
    shown = [
        {"text": sentence_of(p), "tokens": [token(t) for t in p.tokens[:queries]], "answer": token(p.target)}
        for p in known
    ]
    numbered = [str(place + 1) for place in range(queries)]
    return shown or [{"text": f"prompt {place + 1}", "tokens": numbered, "answer": ""} for place in range(count)]


def _bytes(pattern: Array) -> str:
    """float in [0, 1] as 255 steps."""
    import numpy as np

    levels = np.rint(np.clip(np.nan_to_num(np.asarray(pattern, np.float64)), 0, 1) * 255).astype(np.uint8)
    return base64.b64encode(levels.tobytes()).decode()


def _percent(level: int) -> int:
    return (level * 100 + 127) // 255
