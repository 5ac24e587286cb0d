"""Does a kept node mean in the circuit what it means in the model?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from faithcheck.check import Measurement, Metric
from faithcheck.thresholds import MATTERS, NEGLIGIBLE, NO_EFFECT
from faithcheck.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from faithcheck.roles import Flags
    from faithcheck.subject import Subject

    Node = tuple[str, int]

SAME = 0.2
"""A node that loses at most this share of its importance when it takes the model's activation does the same there."""


class NodeRoles:
    """Correlation and role of every kept node's activation in circuit and model, under the model's norm scales.

    What does not correlate may still do the same work, and what correlates not; so nodes are given the model's
    activations, by themselves and together, and the answer is looked at.

    Source: Drori 2026, *Weight-Sparse Circuits May Be Interpretable Yet Unfaithful*.
    """

    name = "node_roles"
    scope = "circuit"
    question = "does a kept node mean in the circuit what it means in the model?"
    gates: ClassVar = {"consistent_mass": ">= 0.9", "flipped_nodes": "== 0", "swap_effect": "<= 0.3"}

    def measure(self, subject: Subject) -> Measurement:
        import numpy as np
        import torch

        from faithcheck.effect import lost, model_activations
        from faithcheck.importance import group_importance
        from faithcheck.roles import node_records

        if not subject.compiled.nodes:
            return Measurement(not_applicable="the circuit keeps no node")
        importance, records, nodes = subject.node_importance, node_records(subject), subject.compiled.nodes
        in_model, evenly = model_activations(subject), records.judge(_even(subject))
        swapped = group_importance(subject, [[node] for node in nodes], in_model)
        evidence = {name: torch.from_numpy(value[0]) for name, value in evenly.items()}
        evidence |= {"importance": torch.from_numpy(importance.mean()), "swapped": torch.from_numpy(swapped.mean())}
        evidence["node"] = _numbered(subject)
        evidence |= {f"effect/{side}": torch.from_numpy(of) for side, of in records.effects(_even(subject)).items()}
        labels = {"role": [role.label for role in records.roles]}
        if importance.mean().sum() < NEGLIGIBLE:
            text = f"leaving out single nodes lowers the answer's log-odds by {importance.mean().sum():.2g} nats in all"
            return Measurement((), evidence, labels, undecided=f"{text}, too little to weigh them by")
        groups = _swaps(nodes, ~evenly["consistent"][0], swapped.per_prompt.mean(1) > 0)
        by_group = lost(subject, groups, in_model)
        if by_group.is_negligible:
            return Measurement((), evidence, labels, undecided=NO_EFFECT)
        evidence["group_swap"] = torch.from_numpy(by_group.under(_even(subject))[0])
        evidence["group"] = torch.tensor([[node in group for node in nodes] for group in map(set, groups)])

        def statistics(weights: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
            mass, judged = importance.under(weights), records.judge(weights)
            share = mass / np.maximum(mass.sum(1, keepdims=True), np.finfo(np.float64).tiny)
            same = swapped.under(weights) <= SAME * mass
            return {
                "consistent_mass": (share * (judged["consistent"] | same)).sum(1),
                "flipped_nodes": ((share > MATTERS) & judged["flips"] & ~same).sum(1).astype(np.float64),
                "swap_effect": by_group.under(weights).max(1),
            }

        found = subject.bench.resampling("test").estimates(statistics)
        metrics = [Metric(name, estimate, subject.seed) for name, estimate in found.items()]
        return Measurement(metrics, evidence, labels)

    def sentence(self, metric: Metric, verdict: Verdict) -> str:
        assert metric.estimate is not None
        value = metric.estimate.value
        if metric.name == "flipped_nodes":
            nodes = "1 node that matters has" if value == 1 else f"{value:.0f} nodes that matter have"
            return f"{nodes} the opposite meaning in the circuit and in the model"
        if metric.name == "swap_effect":
            return f"when nodes take the model's activations the circuit loses {value:.0%} of its effect on the answer"
        return f"nodes with {value:.0%} of the importance mean the same in circuit and model"


def _swaps(nodes: Sequence[Node], changed: Flags, loses: Flags) -> list[list[Node]]:
    """Groups of nodes: all of a site; those that do not agree, of a site and of all sites; and of these the ones that
    lose something by their own swap.

    Nodes that do the same lose nothing one by one, and those of several sites nothing site by site. And some nodes may
    gain what others lose: in the model they have the answer, while in the circuit nothing reaches them.
    """
    groups = [[node for node, one in zip(nodes, by, strict=True) if one] for by in (changed, changed & loses)]
    for site in dict.fromkeys(site for site, _ in nodes):
        groups += [[node for node in group if node[0] == site] for group in (nodes, *groups[:2])]
    return [list(group) for group in dict.fromkeys(map(tuple, groups)) if group]


def _even(subject: Subject) -> npt.NDArray[np.float64]:
    """Equal prompt weights, float[1, prompt]."""
    import numpy as np

    n = len(subject.bench.prompts("test"))
    return np.full((1, n), 1 / n)


def _numbered(subject: Subject) -> Tensor:
    """int[node, 2]: each kept node's site, by its place among the model's sites, and its number there."""
    import torch

    order = {site: i for i, site in enumerate(subject.bench.model.sites)}
    return torch.tensor([[order[site], node] for site, node in subject.compiled.nodes])
