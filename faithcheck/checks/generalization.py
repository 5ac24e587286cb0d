"""Off the distribution it was found on, does the circuit still do what the model does?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from faithcheck.check import Measurement, Metric
from faithcheck.verdict import Verdict

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.estimate import Estimate
    from faithcheck.gates import Gate
    from faithcheck.subject import Subject

CONFIDENT = 0.9
MINIMUM_CONFIDENT = 100


class Generalization:
    """The circuit prefers the same answer as the model on a shift as often as on the held-out split.

    Judged on the prompts where the model gives one answer a probability of at least 0.9, right or wrong.
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
        home = _disagreement(subject, "test")
        metrics, evidence = [], {}
        for shift in subject.bench.task.shifts:
            _refuse_nan(subject, shift)
            gap = difference(_disagreement(subject, shift), home)
            metrics.append(Metric("disagreement_gap", gap, subject.seed, on=shift))
            reported, evidence[f"{shift}/logit_difference"] = _reported(subject, shift)
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
        if verdict is Verdict.FAIL:
            return (
                f"on {metric.on} prompts the circuit contradicts the model in {gap:.0%} more of the cases "
                "than on held-out prompts of the task"
            )
        return (
            f"the share of {metric.on} prompts where the circuit contradicts the model is {gap:+.1%} over held-out ones"
        )


def _refuse_nan(subject: Subject, shift: str) -> None:
    """ValueError where model or circuit gives a prompt of the shift no probabilities."""
    for what, run in (("model", subject.bench.model_run(shift)), ("circuit", subject.run(shift))):
        if run.logits.softmax(-1).isnan().any():
            raise ValueError(f"on the shift {shift} the probabilities that the {what} gives are NaN")


def _disagreement(subject: Subject, split: str) -> Estimate:
    """The share of confident prompts of a split on which circuit and model prefer different answers."""
    import torch

    from faithcheck.estimate import Estimate
    from faithcheck.intervals import share
    from faithcheck.losses import logit_difference

    prompts = subject.bench.prompts(split)
    model, circuit = subject.bench.model_run(split).logits, subject.run(split).logits
    answers = torch.stack([prompts.targets, prompts.distractors], 1)
    confident = model[0].softmax(-1).gather(1, answers).max(1).values >= CONFIDENT
    if not confident.any():
        return Estimate(0.0, 0.0, 1.0, 0, MINIMUM_CONFIDENT)
    signs = [logit_difference(logits, prompts.targets, prompts.distractors)[0].sign() for logits in (model, circuit)]
    differ = (signs[0] != signs[1])[confident].cpu().numpy()
    return share(differ, prompts.units[confident].cpu().numpy(), MINIMUM_CONFIDENT)


def _reported(subject: Subject, shift: str) -> tuple[list[Metric], Tensor]:
    """Accuracy of the model minus that of the circuit, and KL(model || circuit); float[prompt, 2] logit differences."""
    import torch

    from faithcheck.intervals import difference, share
    from faithcheck.losses import logit_difference

    prompts, resampling = subject.bench.prompts(shift), subject.bench.resampling(shift)
    model, circuit = subject.bench.model_run(shift).logits, subject.run(shift).logits
    differences = torch.cat(
        [logit_difference(logits, prompts.targets, prompts.distractors) for logits in (model, circuit)]
    )
    units = prompts.units.cpu().numpy()
    accuracies = [share(right.cpu().numpy(), units) for right in differences > 0]
    answers = torch.stack([prompts.targets, prompts.distractors], 1)
    divergences = {
        "kl_answers": _divergence(model[0].gather(1, answers), circuit[0].gather(1, answers)),
        "kl_vocabulary": _divergence(model[0], circuit[0]),
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
    return (p.exp() * (p - q)).sum(-1)
