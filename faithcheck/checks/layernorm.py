"""Does the circuit live on the norms' rescaling? Its loss when each norm divides by the scale the model had."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faithcheck.check import Measurement, Metric
from faithcheck.verdict import Verdict

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.subject import Subject


class LayerNorm:
    """The circuit keeps its loss when the norms are frozen to the scales of the full model on the same prompt.

    Source: Drori 2026, *Weight-Sparse Circuits May Be Interpretable Yet Unfaithful*.
    """

    name = "layernorm"
    scope = "circuit"
    question = "does the circuit live on the norms' rescaling?"
    gates: ClassVar = {"frozen_loss": "<= target_loss + 0.1"}

    def measure(self, subject: Subject) -> Measurement:
        bench = subject.bench
        if not bench.model.norms:
            return Measurement(not_applicable="the model has no norm")
        resampling = bench.resampling("test")
        frozen = subject.losses(subject.frozen_run).double().cpu().numpy()
        ratios = rms_ratios(subject)
        metrics = [Metric("frozen_loss", resampling.mean(frozen), subject.seed)]
        metrics += [
            Metric("rms_ratio", resampling.mean(ratio.double().cpu().numpy()), subject.seed, on=norm)
            for norm, ratio in ratios.items()
        ]
        return Measurement(metrics + _sizes(subject), {f"rms_ratio/{norm}": r for norm, r in ratios.items()})

    def sentence(self, metric: Metric, verdict: Verdict) -> str:
        assert metric.estimate is not None
        value = metric.estimate.value
        if verdict is Verdict.FAIL:
            return (
                f"when each norm divides by the scale it has in the full model, the loss is {value:.3g} nats: "
                "the circuit lives on the norms scaling up what little is left"
            )
        return f"when each norm divides by the scale it has in the full model, the loss is {value:.3g} nats"


def rms_ratios(subject: Subject) -> dict[str, Tensor]:
    """{norm: float[prompt]}: the live norm scale in the circuit over that in the model, at the answer position."""
    bench = subject.bench
    prompts, scales = bench.prompts("test"), bench.scales("test")
    live = subject.compiled.run(prompts, capture=tuple(bench.model.norms)).captured
    where = prompts.positions[:, None]
    return {
        norm: (live[norm][0].gather(1, where) / scales[norm][0].gather(1, where))[:, 0] for norm in bench.model.norms
    }


def _sizes(subject: Subject) -> list[Metric]:
    """The same scores cut under live and under frozen norms; reported, where the circuit was extracted here."""
    from faithcheck.cutting import Cutter
    from faithcheck.estimate import Estimate

    if subject.scores is None or subject.cut is None:
        return []
    bench = subject.bench
    frozen = subject.circuit.norms == "frozen"
    scales = None if frozen else bench.scales("validation")
    cutter = Cutter(bench.model, bench.prompts("validation"), bench.loss, bench.target_loss, bench.ablation, scales)
    other = cutter.cut(subject.scores, whole_curve=False)
    live, frozen_cut = (other, subject.cut) if frozen else (subject.cut, other)
    total = sum(site.size for site in bench.model.sites.values())
    return [
        Metric(name, Estimate.exact(cut.size, total) if cut.reached else None, subject.seed, noun="nodes")
        for name, cut in (("live_size", live), ("frozen_size", frozen_cut))
    ]
