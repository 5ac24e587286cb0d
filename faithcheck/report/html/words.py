"""Numbers, verdicts, tokens and metrics as a reader of the page sees them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from markupsafe import Markup, escape

from faithcheck.result_schema import MetricEntry, ShownPrompt
from faithcheck.text import visible

METRICS = {
    "loss": "loss on held-out prompts, nats",
    "node_fraction": "share of the model's nodes",
    "size_ratio": "nodes for the control / nodes for the task",
    "pattern_tv": "total variation between the attention patterns",
    "absent_heads": "heads that matter and look elsewhere",
    "elsewhere_effect": "share of the effect through heads that look elsewhere",
    "consistent_mass": "share of the importance that means the same",
    "flipped_nodes": "nodes that matter with the opposite meaning",
    "swap_effect": "share of the effect lost with the model's activations",
    "disagreement_gap": "contradicts the model: share on the shift minus on held-out prompts",
    "accuracy_gap": "accuracy of the model minus that of the circuit",
    "frozen_loss": "loss with frozen norms, nats",
}
_LONG = 1e12
_NUMBERS = re.compile(r"(\([^()]*gate [^()]*\))")


def number(value: float | None) -> str:
    """Three digits that count, thousands apart: `0.672`, `5,632`."""
    if value is None:
        return "not reached"
    if abs(value) >= _LONG:
        return f"{Decimal(value):.3g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}".replace("-", "−")


def interval(entry: MetricEntry) -> str:
    """`0.639 to 0.706`; empty where there is no sampling error or no estimate."""
    if entry.estimate is None or (entry.low is not None and entry.low == entry.high):
        return ""
    low, high = ("unbounded" if value is None else number(value) for value in (entry.low, entry.high))
    return f"{low} to {high}"


def percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share >= 0.001 or share <= 0 else "under 0.1 %"


def metric(name: str) -> str:
    """What a metric is, in words; empty for one of a stranger's check."""
    return METRICS.get(name, "")


def verdict(name: str) -> str:
    return name.replace("_", " ")


def seed_name(seed: int | None, none: str = "the circuit") -> str:
    """`none`: what is called that has no seed; a given circuit, where nothing else is said."""
    return none if seed is None else f"seed {seed}"


def gate_text(gate: str) -> str:
    """`<= 0.2` with the sign that books use."""
    return gate.replace("<=", "≤").replace(">=", "≥").replace("==", "=").replace("-", "−")


def reason(text: str) -> Markup:
    """A check's sentence, its figures set apart so that the words can be read without them."""
    parts = _NUMBERS.split(visible(text))
    return Markup("").join(
        Markup('<span class="figures">{}</span>').format(gate_text(part)) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


def token(text: str) -> str:
    """A token with its spaces and line ends made visible."""
    return visible(text).replace("\n", "\\n").replace(" ", "␣") or "(empty)"


def sentence_of(prompt: ShownPrompt) -> str:
    """The prompt as running text, with the answer that the task asks for."""
    spaced = any(text.startswith(" ") for text in prompt.tokens)
    text = ("" if spaced else " ").join(prompt.tokens).strip()
    text = re.sub(r" (?=[,.?!;:](?: |$))", "", text)
    return visible(f"{text} → {prompt.target.strip()}").replace("\n", "\\n")


def span(values: Sequence[float]) -> str:
    """`138 to 283`, or one number."""
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"
