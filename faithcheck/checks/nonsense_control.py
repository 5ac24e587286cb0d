"""Can the extractor find a circuit for something the model does not do?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from faithcheck.check import Control, Measurement, Trial
from faithcheck.size_ratio import SizeRatio

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.bench import Bench

UNLIKELY = 1e-3
"""Greatest mean probability of a nonsense label at the answer position."""
WITHIN_REACH = 0.5
"""A nonsense label must be this likely somewhere in the model's text, or it is out of reach for trivial reasons."""
FAR = 10.0
"""The model's loss on the nonsense labels must be at least this many times the target loss."""


class NonsenseControl(SizeRatio):
    """The method needs far more nodes for arbitrary labels than for the task: nodes on nonsense / nodes on the task.

    Source: Drori 2026, *Weight-Sparse Circuits May Be Interpretable Yet Unfaithful*.
    """

    name = "nonsense_control"
    question = "can the extractor find a circuit for something the model does not do?"
    control = "nonsense"
    extractions = "nonsense extractions"
    where = "for arbitrary labels"
    moral = "that it finds a circuit says little about the model"

    def draw(self, bench: Bench, seeds: Sequence[int]) -> Sequence[Control] | Measurement:
        """The declared labels for the first seed, labels drawn by seed for the others; no two seeds have the same."""
        import random

        eligible = eligible_tokens(bench)
        declared = declared_labels(bench)
        if len(eligible) * (len(eligible) - 1) < len(seeds):
            why = (
                f"only {len(eligible)} tokens can serve as nonsense labels for this model, too few for each seed's own"
            )
            return Measurement(not_applicable=why)
        labels: dict[int, tuple[int, int]] = {}
        if declared is not None and set(declared) <= set(eligible):
            labels[seeds[0]] = declared
        for seed in seeds[len(labels) :]:
            rng = random.Random(f"{bench.task.fingerprint}/{seed}")
            while seed not in labels:
                first, second = rng.sample(eligible, 2)
                if (first, second) not in labels.values():
                    labels[seed] = first, second
        return [Control(seed, answers) for seed, answers in labels.items()]

    def measure(self, bench: Bench, trials: Sequence[Trial]) -> Measurement:
        """With the labels of every seed as evidence, int[2] tokens, and as text."""
        import torch

        from faithcheck.shown import token_text

        found = super().measure(bench, trials)
        labels = {f"{trial.control.seed}/labels": torch.tensor(trial.control.answers) for trial in trials}
        words = {
            name: [token_text(bench.model.tokenizer, int(token)) for token in pair] for name, pair in labels.items()
        }
        remark = "" if found.not_applicable else _remark(bench, trials)
        return replace(found, evidence={**found.evidence, **labels}, labels=words, remark=remark)


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
    from faithcheck.prompt_tokens import answer_token

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


def _remark(bench: Bench, trials: Sequence[Trial]) -> str:
    if trials and trials[0].control.answers != declared_labels(bench):
        words = " / ".join(bench.task.nonsense.values())
        return f"the declared labels {words} are not usable on this model, drawn ones were used"
    return ""
