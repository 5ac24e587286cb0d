"""Is there a small circuit at all? Loss of the circuit on held-out prompts, and its share of the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faithcheck.check import Measurement, Metric
from faithcheck.verdict import Verdict

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.subject import Subject


class Sufficiency:
    """The circuit alone reaches the target loss on held-out prompts, with few of the model's nodes.

    Source: Gao et al. 2025 (arXiv 2511.13653), who measure circuits by their size at a target loss; taken up by
    Drori 2026, *Weight-Sparse Circuits May Be Interpretable Yet Unfaithful*.
    """

    name = "sufficiency"
    scope = "circuit"
    question = "is there a small circuit at all?"
    needs_circuit = False
    gates: ClassVar = {"loss": "<= target_loss + 0.05", "node_fraction": "<= 0.1"}

    def measure(self, subject: Subject) -> Measurement:
        from faithcheck.estimate import Estimate

        total = sum(site.size for site in subject.bench.model.sites.values())
        losses = subject.losses(subject.run()).double().cpu().numpy()
        metrics = (
            Metric("loss", subject.bench.resampling("test").mean(losses), subject.seed),
            Metric(
                "node_fraction",
                Estimate.exact(subject.circuit.size / total, total),
                subject.seed,
                noun="nodes",
            ),
        )
        failed = None if subject.reached else _missed(subject)
        return Measurement(metrics, _curve(subject), failed=failed)

    def sentence(self, metric: Metric, verdict: Verdict) -> str:
        assert metric.estimate is not None
        value = metric.estimate.value
        if metric.name == "loss":
            return f"alone, the circuit has loss {value:.3g} nats on held-out prompts"
        return f"the circuit keeps {value:.2%} of the model's nodes"


def _missed(subject: Subject) -> str:
    target = f"the target loss of {subject.bench.target_loss:g} nats"
    if subject.cut is None:
        return f"the circuit misses {target} on the validation prompts, with {subject.circuit.size} nodes"
    return f"no circuit of any size that was evaluated reaches {target} on the validation prompts"


def _curve(subject: Subject) -> dict[str, Tensor]:
    """Size and loss on the validation prompts, float[size, 2]; edges as a third column where they are countable."""
    import torch

    from faithcheck.cutting import circuit_of, ranked

    if subject.cut is None or subject.scores is None:
        return {}
    rows: list[tuple[float, ...]] = list(subject.cut.curve)
    model = subject.bench.model
    if hasattr(model, "count_edges"):
        order = ranked(subject.scores.flat(model))
        keeps = [circuit_of(model, order, int(size)).keep for size, _ in subject.cut.curve]
        edges = [model.count_edges({site: kept.to(model.device) for site, kept in keep.items()}) for keep in keeps]
        rows = [(*row, float(count)) for row, count in zip(rows, edges, strict=True)]
    return {"curve": torch.tensor(rows, dtype=torch.float64)}
