"""Does a kept node mean in the circuit what it means in the model?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faithcheck.check import Measurement, Metric
from faithcheck.thresholds import MATTERS, NEGLIGIBLE
from faithcheck.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from faithcheck.subject import Subject


class NodeRoles:
    """Correlation and role of every kept node's activation in circuit and model, under the model's norm scales."""

    name = "node_roles"
    scope = "circuit"
    question = "does a kept node mean in the circuit what it means in the model?"
    gates: ClassVar = {"consistent_mass": ">= 0.9", "flipped_nodes": "== 0"}

    def measure(self, subject: Subject) -> Measurement:
        import numpy as np
        import torch

        from faithcheck.roles import node_records

        if not subject.compiled.nodes:
            return Measurement(not_applicable="the circuit keeps no node")
        importance, records = subject.node_importance, node_records(subject)
        evidence = {name: torch.from_numpy(value[0]) for name, value in records.judge(_even(subject)).items()}
        evidence |= {"importance": torch.from_numpy(importance.mean()), "node": _numbered(subject)}
        if importance.mean().sum() < NEGLIGIBLE:
            text = f"leaving out single nodes lowers the answer's log-odds by {importance.mean().sum():.2g} nats in all"
            return Measurement((), evidence, undecided=f"{text}, too little to weigh them by")

        def statistics(weights: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
            mass, judged = importance.under(weights), records.judge(weights)
            share = mass / np.maximum(mass.sum(1, keepdims=True), np.finfo(np.float64).tiny)
            return {
                "consistent_mass": (share * judged["consistent"]).sum(1),
                "flipped_nodes": ((share > MATTERS) & judged["flips"]).sum(1).astype(np.float64),
            }

        found = subject.bench.resampling("test").estimates(statistics)
        return Measurement([Metric(name, estimate, subject.seed) for name, estimate in found.items()], evidence)

    def sentence(self, metric: Metric, verdict: Verdict) -> str:
        assert metric.estimate is not None
        value = metric.estimate.value
        if metric.name == "flipped_nodes":
            return f"{value:.0f} nodes that matter have the opposite meaning in the circuit and in the model"
        return f"nodes with {value:.0%} of the importance mean the same in circuit and model"


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
