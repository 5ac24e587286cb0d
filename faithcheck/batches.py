"""In which batches a circuit runs without groups of its nodes, one member a group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from faithcheck.heads import group_size

if TYPE_CHECKING:
    from faithcheck.subject import Subject

Groups = Sequence[Sequence[tuple[str, int]]]
"""Groups of kept nodes (site, node)."""

_FLOATS = 1 << 25
"""About how many activations the members of a batch may hold at once: with fewer, most of the time goes into calls."""


def batches(subject: Subject, groups: Groups) -> list[list[int]]:
    """The places of the groups, in batches of those that run at once on the held-out prompts.

    Sorted by the first site that a group changes, for up to there the members of a batch are computed as one.
    """
    order = {site: place for place, site in enumerate(subject.bench.model.sites)}
    first = [min((order[site] for site, _ in group), default=len(order)) for group in groups]
    places = sorted(range(len(groups)), key=lambda place: first[place])
    members = max(1, _FLOATS // _held(subject))
    return [places[start : start + members] for start in range(0, len(places), members)]


def _held(subject: Subject) -> int:
    """About how many activations a member holds: the residual stream, the layer with the most, and the logits."""
    tokens = subject.bench.prompts("test").tokens
    layers: Counter[int] = Counter()
    for site in subject.compiled.model.sites.values():
        layers[site.layer] += site.size
        if site.kind == "attn_v" and site.head is not None:
            patterns = len(site.head.unique()) * group_size(subject.bench.model, site.layer)
            layers[site.layer] += patterns * (tokens.shape[1] + 1)
    stream = max((s.size for s in subject.bench.model.sites.values() if s.kind != "mlp_neuron"), default=0)
    return tokens.numel() * (stream + max(layers.values())) + subject.frozen_run.logits.numel()
