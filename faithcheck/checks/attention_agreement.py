"""Do the heads that the circuit uses look where they look in the model?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from faithcheck.check import Measurement, Metric
from faithcheck.heads import READINGS, SHARED, by_group, group_size, query_heads, whichever
from faithcheck.thresholds import MATTERS, NEGLIGIBLE, NO_EFFECT
from faithcheck.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from faithcheck.subject import Subject

APART = 0.2
"""A head whose pattern is farther than this from the model's looks elsewhere."""
APART_ON_WORDS = 0.3
"""A head whose pattern without its sink is farther than this from the model's is not where the model's is."""


@dataclass(frozen=True)
class Head:
    """A used query head. Per prompt, weighted over the query positions that count: total variation between the
    patterns of circuit and model, as they are and without their sinks. float[prompt]."""

    layer: int
    head: int
    distance: Tensor
    distance_on_words: Tensor


class AttentionAgreement:
    """Total variation between the attention patterns of circuit and model, under the model's own norm scales.

    Source: Drori 2026, *Weight-Sparse Circuits May Be Interpretable Yet Unfaithful*.
    """

    name = "attention_agreement"
    scope = "circuit"
    question = "do the heads that the circuit uses look where they look in the model?"
    gates: ClassVar = {"pattern_tv": "<= 0.2", "absent_heads": "== 0", "elsewhere_effect": "<= 0.2"}

    def measure(self, subject: Subject) -> Measurement:
        import numpy as np
        import torch

        from faithcheck.effect import lost

        values = used_heads(subject)
        if not values:
            return Measurement(not_applicable="the circuit keeps no attn_v node, so it has no attention to compare")
        groups, patterns = compare_heads(subject, values)
        heads, nodes = [head for group in groups for head in group], [values[used] for used in sorted(values)]
        sizes, importance = [len(group) for group in groups], subject.importance(nodes)
        evidence = {
            "head": torch.tensor([[h.layer, h.head] for h in heads]),
            "shares_values": torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
            "importance": torch.from_numpy(np.repeat(importance.mean(), sizes)),
            "total_variation": torch.stack([h.distance for h in heads]),
            **patterns,
        }
        if importance.mean().sum() < NEGLIGIBLE:
            return Measurement((), evidence, undecided=_negligible(importance.mean().sum()))
        readings = READINGS if len(heads) > len(groups) else {"": READINGS[""]}
        elsewhere = [
            [node for group, own in zip(groups, nodes, strict=True) if looks_elsewhere(*group, of=of) for node in own]
            for of in readings.values()
        ]
        effect = lost(subject, elsewhere)
        if effect.is_negligible:
            return Measurement((), evidence, undecided=NO_EFFECT)

        def statistics(weights: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
            share = _shares(importance.under(weights))
            apart = weights @ _rows([h.distance for h in heads]).T
            on_words = weights @ _rows([h.distance_on_words for h in heads]).T
            found, through = {}, effect.under(weights)
            for place, (reading, of) in enumerate(readings.items()):
                absent = by_group(on_words, sizes, of) > APART_ON_WORDS
                found["pattern_tv" + reading] = (share * by_group(apart, sizes, of)).sum(1)
                found["absent_heads" + reading] = ((share > MATTERS) & absent).sum(1).astype(np.float64)
                found["elsewhere_effect" + reading] = through[:, place]
            return found

        found = subject.bench.resampling("test").estimates(statistics)
        metrics = [Metric(name, whichever(found, name, readings), subject.seed) for name in self.gates]
        return Measurement(metrics, evidence, remark=SHARED if len(readings) > 1 else "")

    def sentence(self, metric: Metric, verdict: Verdict) -> str:
        assert metric.estimate is not None
        value = metric.estimate.value
        if metric.name == "absent_heads":
            heads = "1 head that matters looks" if value == 1 else f"{value:.0f} heads that matter look"
            return f"{heads} elsewhere in the circuit than in the model"
        if metric.name == "elsewhere_effect":
            return (
                f"{value:.0%} of the circuit's effect on the answer goes through heads that look elsewhere in the model"
            )
        return f"the used heads' attention differs from the model's by a total variation of {value:.2f}"


def used_heads(subject: Subject) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """{(layer, head of values): its kept attn_v nodes}."""
    heads: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for name, node in subject.compiled.nodes:
        site = subject.bench.model.sites[name]
        if site.kind == "attn_v" and site.head is not None:
            heads.setdefault((site.layer, int(site.head[node])), []).append((name, node))
    return heads


def compare_heads(
    subject: Subject, values: dict[tuple[int, int], list[tuple[str, int]]]
) -> tuple[list[list[Head]], dict[str, Tensor]]:
    """For every used head of values, in order, the query heads that share it; and as evidence the patterns of circuit
    and model on the prompts that evidence shows."""
    from faithcheck.causal import head_query_weights

    groups: list[list[Head]] = []
    evidence: dict[str, Tensor] = {}
    for layer in sorted({layer for layer, _ in values}):
        name, used = f"{layer}.attn_pattern", sorted(head for at, head in values if at == layer)
        circuit, model = subject.activations[name][0], subject.bench.model_run("test").captured[name][0]
        weights = head_query_weights(subject, layer, [values[layer, head] for head in used])
        size, compared = group_size(subject.bench.model, layer), []
        for row, head in enumerate(query_heads(used, size)):
            pair = (circuit[:, row], model[:, head])
            compared.append(_compare(layer, head, *pair, weights[row // size]))
            for side, pattern in zip(("circuit", "model"), pair, strict=True):
                evidence[f"pattern/{layer}.{head}/{side}"] = pattern[subject.bench.shown]
        groups += [compared[start : start + size] for start in range(0, len(compared), size)]
    return groups, evidence


def _compare(layer: int, head: int, circuit: Tensor, model: Tensor, weights: Tensor) -> Head:
    """circuit, model: float[prompt, query, key + 1]; weights: float[prompt, query], summing to 1 a prompt."""
    words = [on_words(pattern) for pattern in (circuit, model)]
    rows = (total_variation(circuit, model), total_variation(*words))
    return Head(layer, head, *((weights * row).sum(1) for row in rows))


def looks_elsewhere(*group: Head, of: str = "mean") -> bool:
    """Whether query heads that share their values are not where they are in the model, on average over prompts."""
    import torch

    on_words, apart = (
        float(getattr(torch.stack([distance.mean() for distance in distances]), of)())
        for distances in ([h.distance_on_words for h in group], [h.distance for h in group])
    )
    return on_words > APART_ON_WORDS or apart > APART


def total_variation(one: Tensor, other: Tensor) -> Tensor:
    """Between distributions over the last axis."""
    return (one - other).abs().sum(-1) / 2


def on_words(pattern: Tensor) -> Tensor:
    """A pattern float[..., query, key + 1] with its sink removed, renormalised.

    Uniform over the visible keys where all is on the sink.
    """
    import torch

    keys = pattern[..., :-1]
    queries = torch.arange(keys.shape[-2], device=keys.device)
    seen = (torch.arange(keys.shape[-1], device=keys.device) <= queries[:, None]).to(keys.dtype)
    total = keys.sum(-1, keepdim=True)
    uniform = seen / seen.sum(-1, keepdim=True)
    return torch.where(total > 0, keys / total.clamp(min=torch.finfo(keys.dtype).tiny), uniform)


def _rows(values: list[Tensor]) -> npt.NDArray[np.float64]:
    import numpy as np

    return np.stack([value.double().cpu().numpy() for value in values])


def _shares(importance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Importance float[draw, head] as shares of each draw's total."""
    import numpy as np

    return importance / np.maximum(importance.sum(1, keepdims=True), np.finfo(np.float64).tiny)


def _negligible(total: float) -> str:
    text = f"leaving out single heads lowers the answer's log-odds by {total:.2g} nats in all"
    return f"{text}, too little to weigh them by"
