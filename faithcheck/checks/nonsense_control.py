"""Can the extractor find a circuit for something the model does not do?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from faithcheck.check import Control, Measurement, Metric, Trial
from faithcheck.verdict import Verdict

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.bench import Bench

UNLIKELY = 1e-3
"""Greatest mean probability of a nonsense label at the answer position."""
WITHIN_REACH = 0.5
"""A nonsense label must be this likely somewhere in the model's text, or it is out of reach for trivial reasons."""
FAR = 10.0
"""The model's loss on the nonsense labels must be at least this many times the target loss."""


class NonsenseControl:
    """The method needs far more nodes for arbitrary labels than for the task: nodes on nonsense / nodes on the task."""

    name = "nonsense_control"
    scope = "method"
    question = "can the extractor find a circuit for something the model does not do?"
    gates: ClassVar = {"size_ratio": ">= 10"}

    def controls(self, bench: Bench, seeds: Sequence[int]) -> Sequence[Control] | Measurement:
        """The declared labels for the first seed, labels drawn by seed for the others."""
        import random

        if bench.model_loss(kind="full") > bench.target_loss:
            return Measurement(
                not_applicable=f"the model's cross-entropy over the whole vocabulary on this task is "
                f"{bench.model_loss(kind='full'):.3g} nats, above the target of {bench.target_loss:g}"
            )
        eligible = eligible_tokens(bench)
        declared = declared_labels(bench)
        if len(eligible) < 2:
            return Measurement(not_applicable="fewer than two tokens can serve as nonsense labels for this model")
        controls = []
        for place, seed in enumerate(seeds):
            if place == 0 and declared is not None and set(declared) <= set(eligible):
                controls.append(Control(seed, declared))
            else:
                first, second = random.Random(f"{bench.task.fingerprint}/{seed}").sample(eligible, 2)
                controls.append(Control(seed, (first, second)))
        return controls

    def measure(self, bench: Bench, trials: Sequence[Trial]) -> Measurement:
        from faithcheck.intervals import ratio_over_seeds

        reported = [metric for trial in trials for metric in _sizes(trial)]
        evidence = _evidence(trials)
        real_failed = [trial for trial in trials if not (trial.real.reached and trial.real.size)]
        if len(real_failed) == len(trials):
            return Measurement(reported, evidence, not_applicable="the method found no circuit for the task itself")
        open_seeds = [t for t in trials if not t.contrast.reached and not t.out_of_reach]
        logs = [_log_ratio(trial) for trial in trials if trial not in real_failed and trial not in open_seeds]
        ratio = [Metric("size_ratio", ratio_over_seeds(logs), noun="seeds")] if logs else []
        metrics = [*ratio, *reported]
        return Measurement(
            metrics, evidence, undecided=_undecided(real_failed, open_seeds), remark=_remark(bench, trials)
        )

    def sentence(self, metric: Metric, verdict: Verdict) -> str:
        assert metric.estimate is not None
        ratio = metric.estimate.value
        if verdict is Verdict.FAIL:
            return (
                f"the method also finds circuits for arbitrary labels, with only {ratio:.2g} times as many nodes: "
                "that it finds a circuit says little about the model"
            )
        if ratio == float("inf"):
            return "for arbitrary labels the method finds no circuit"
        return f"for arbitrary labels the method needs {ratio:.2g} times as many nodes"


def _log_ratio(trial: Trial) -> float:
    """log (nodes on nonsense / nodes on the task); +inf where no size was enough, -inf where none was needed."""
    import math

    if not trial.contrast.reached:
        return math.inf
    return math.log(trial.contrast.size / trial.real.size) if trial.contrast.size else -math.inf


def eligible_tokens(bench: Bench) -> list[int]:
    """Tokens that the model hardly ever gives at the task's answers, but often somewhere in its own text."""
    import torch

    prompts = bench.prompts("test")
    with torch.no_grad():
        logits = bench.model.run(prompts.tokens, positions=prompts.positions).logits[0]
        unlikely = logits.softmax(-1).mean(0) < UNLIKELY
        loss_floor = -logits.log_softmax(-1).mean(0) >= FAR * bench.target_loss
        reached = _most_likely_anywhere(bench) > WITHIN_REACH
    answers = torch.zeros_like(unlikely)
    answers[torch.unique(torch.cat([prompts.targets, prompts.distractors]))] = True
    return (unlikely & loss_floor & reached & ~answers).nonzero().flatten().tolist()


def declared_labels(bench: Bench) -> tuple[int, int] | None:
    """The task file's nonsense labels as tokens, in the order of the answer's levels; None where one is no token."""
    from faithcheck.errors import UserError
    from faithcheck.prompts import answer_token

    text, words = bench.prompts("test").texts[0], bench.task.nonsense
    try:
        first, second = (answer_token(bench.model.tokenizer, text, words[level]) for level in bench.task.tokens)
    except UserError:
        return None
    return first, second


def _most_likely_anywhere(bench: Bench) -> Tensor:
    """float[token]: the greatest probability each token gets anywhere in the model's sample text, or in the prompts."""
    import torch

    tokenizer = bench.model.tokenizer
    texts = getattr(bench.model, "sample_text", ()) or bench.prompts("train").texts[:512]
    rows = [tokenizer.encode(text) for text in texts]
    width = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=bench.model.device)
    lengths = torch.tensor([len(row) for row in rows], device=bench.model.device)
    best: Tensor | None = None
    for chunk, length in zip(tokens.split(64), lengths.split(64), strict=True):
        probability = bench.model.run(chunk).logits[0].softmax(-1)
        inside = torch.arange(width, device=chunk.device) < length[:, None]
        most = (probability * inside[..., None]).amax((0, 1))
        best = most if best is None else torch.maximum(best, most)
    assert best is not None
    return best


def _sizes(trial: Trial) -> list[Metric]:
    from faithcheck.estimate import Estimate

    cuts = (("task_size", trial.real), ("nonsense_size", trial.contrast))
    return [
        Metric(name, Estimate.exact(cut.size, 1) if cut.reached else None, trial.control.seed, noun="nodes")
        for name, cut in cuts
    ]


def _evidence(trials: Sequence[Trial]) -> dict[str, Tensor]:
    """Loss over size, float[size, 2], on task and nonsense labels for every seed; the labels as int[2] tokens."""
    import torch

    evidence: dict[str, Tensor] = {}
    for trial in trials:
        seed = trial.control.seed
        evidence[f"{seed}/labels"] = torch.tensor(trial.control.answers)
        evidence[f"{seed}/task"] = torch.tensor(trial.real.curve, dtype=torch.float64)
        evidence[f"{seed}/nonsense"] = torch.tensor(trial.contrast.curve, dtype=torch.float64)
    return evidence


def _undecided(real_failed: Sequence[Trial], open_seeds: Sequence[Trial]) -> str | None:
    if real_failed:
        return f"{len(real_failed)} seeds found no circuit for the task itself, so there is nothing to compare them by"
    if open_seeds:
        return (
            f"{len(open_seeds)} nonsense extractions missed the target loss without the method reporting that the loss "
            "had stopped falling: it may be out of reach, or the method may not have tried hard enough"
        )
    return None


def _remark(bench: Bench, trials: Sequence[Trial]) -> str:
    if trials and trials[0].control.answers != declared_labels(bench):
        words = " / ".join(bench.task.nonsense.values())
        return f"the declared labels {words} are not usable on this model, drawn ones were used"
    return ""
