"""Off the distribution it was found on, does the circuit still do what the model does?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from faithcheck.check import Measurement, Metric
from faithcheck.verdict import Verdict

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.estimate import Estimate
    from faithcheck.gates import Gate
    from faithcheck.prompts import PromptSet
    from faithcheck.subject import Subject

CONFIDENT = 0.9
MINIMUM_CONFIDENT = 100


class Generalization:
    """The circuit prefers the same answer as the model on a shift as often as on the held-out split.

    Judged on the prompts where the model gives one answer a probability of at least 0.9, right or wrong.

    Source: Drori 2026, *Weight-Sparse Circuits May Be Interpretable Yet Unfaithful*.
    """

    name = "generalization"
    scope = "circuit"
    question = "off the distribution it was found on, does the circuit still do what the model does?"
    gates: ClassVar = {"disagreement_gap": "<= 0.05"}
    uses_shifts = True

    def measure(self, subject: Subject) -> Measurement:
        from faithcheck.intervals import difference

        if not subject.bench.task.shifts:
            return Measurement(not_applicable="the task declares no shift")
        home = _disagreement(_Answers.of(subject, "test"))
        metrics, evidence = [], {}
        for shift in subject.bench.task.shifts:
            found = _Answers.of(subject, shift)
            gap = difference(_disagreement(found), home)
            metrics.append(Metric("disagreement_gap", gap, subject.seed, on=shift))
            reported, evidence[f"{shift}/logit_difference"] = _reported(subject, shift, found)
            metrics += reported
        return Measurement(metrics, evidence)

    def summary(self, metrics: Sequence[Metric], gates: Mapping[str, Gate]) -> list[Metric]:
        """`generalizing_seeds`: the share of circuits whose estimated gap is within the margin, for every shift."""
        from faithcheck.estimate import Estimate

        within: dict[str, list[bool]] = {}
        for metric in metrics:
            if metric.name == "disagreement_gap" and metric.on and metric.estimate and metric.estimate.n:
                gap = Estimate.exact(metric.estimate.value, 1)
                ok = gates[metric.name].judge(gap) is Verdict.PASS
                within.setdefault(metric.on, []).append(ok)
        return [
            Metric("generalizing_seeds", Estimate.exact(sum(ok) / len(ok), len(ok)), on=shift, noun="seeds")
            for shift, ok in within.items()
        ]

    def sentence(self, metric: Metric, verdict: Verdict) -> str:
        assert metric.estimate is not None
        gap = metric.estimate.value
        apart = f"{abs(gap):.0%}" if verdict is Verdict.FAIL else f"{abs(gap):.1%}"
        more = "more" if gap > 0 else "fewer"
        cases = f"{apart} {more} of the cases than" if gap else "as many of the cases as"
        return f"on {metric.on} prompts the circuit contradicts the model in {cases} on held-out prompts of the task"


@dataclass(frozen=True)
class _Answers:
    """What model and circuit say to a split's prompts: logits float[prompt, token], differences float[prompt]."""

    prompts: PromptSet
    model: Tensor
    circuit: Tensor
    model_difference: Tensor
    circuit_difference: Tensor

    @classmethod
    def of(cls, subject: Subject, split: str) -> _Answers:
        """Raises ValueError where model or circuit gives a prompt no probabilities."""
        from faithcheck.losses import logit_difference

        prompts = subject.bench.prompts(split)
        logits = {"model": subject.bench.model_run(split).logits, "circuit": subject.run(split).logits}
        for what, given in logits.items():
            if given.softmax(-1).isnan().any():
                where = "held-out prompts" if split == "test" else f"the shift {split}"
                raise ValueError(f"on {where} the probabilities that the {what} gives are NaN")
        differences = [logit_difference(given, prompts.targets, prompts.distractors)[0] for given in logits.values()]
        return cls(prompts, logits["model"][0], logits["circuit"][0], *differences)

    @property
    def tokens(self) -> Tensor:
        """Both answers of each prompt, int[prompt, 2]."""
        import torch

        return torch.stack([self.prompts.targets, self.prompts.distractors], 1)


def _disagreement(found: _Answers) -> Estimate:
    """The share of confident prompts of a split on which circuit and model prefer different answers."""
    from faithcheck.estimate import Estimate
    from faithcheck.intervals import share

    confident = found.model.softmax(-1).gather(1, found.tokens).max(1).values >= CONFIDENT
    if not confident.any():
        return Estimate(0.0, 0.0, 1.0, 0, MINIMUM_CONFIDENT)
    differ = found.model_difference.sign() != found.circuit_difference.sign()
    units = found.prompts.units[confident]
    return share(differ[confident].cpu().numpy(), units.cpu().numpy(), MINIMUM_CONFIDENT)


def _reported(subject: Subject, shift: str, found: _Answers) -> tuple[list[Metric], Tensor]:
    """Accuracy of the model minus that of the circuit, and KL(model || circuit); float[prompt, 2] logit differences."""
    import torch

    from faithcheck.intervals import difference, share

    differences = torch.stack([found.model_difference, found.circuit_difference])
    units, resampling = found.prompts.units.cpu().numpy(), subject.bench.resampling(shift)
    accuracies = [share(right.cpu().numpy(), units) for right in differences > 0]
    divergences = {
        "kl_answers": _divergence(found.model.gather(1, found.tokens), found.circuit.gather(1, found.tokens)),
        "kl_vocabulary": _divergence(found.model, found.circuit),
    }
    metrics = [Metric("accuracy_gap", difference(*accuracies), subject.seed, on=shift)]
    metrics += [
        Metric(name, resampling.mean(value.double().cpu().numpy()), subject.seed, on=shift)
        for name, value in divergences.items()
    ]
    return metrics, differences.T.contiguous()


def _divergence(model: Tensor, circuit: Tensor) -> Tensor:
    """KL(model || circuit) in nats, float[prompt], of logits float[prompt, token]."""
    p, q = model.log_softmax(-1), circuit.log_softmax(-1)
    return (p.exp() * (p - q)).where(p.exp() > 0, 0.0).sum(-1)
