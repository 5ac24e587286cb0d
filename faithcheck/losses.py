"""Losses and logit differences at the answer position."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

LossKind = Literal["full", "binary"]


def prompt_losses(logits: Tensor, targets: Tensor, distractors: Tensor, kind: LossKind) -> Tensor:
    """Cross-entropy in nats of each prompt's target: float[member, prompt] of float[member, prompt, token].

    targets, distractors: int[prompt] or int[member, prompt]. "full" is over the vocabulary, "binary" over
    {target, distractor} (Drori 2026 uses both).
    """
    if kind == "binary":
        return F.softplus(-logit_difference(logits, targets, distractors))
    return logits.logsumexp(-1) - _pick(logits, targets)


def prompt_log_odds(logits: Tensor, targets: Tensor, distractors: Tensor, kind: LossKind) -> Tensor:
    """log p / (1 - p) of each prompt's target, float[member, prompt], p the probability whose -log is the loss.

    Unlike the loss it does not level off where the target is nearly certain. Arguments as of `prompt_losses`.
    """
    if kind == "binary":
        return logit_difference(logits, targets, distractors)
    members = max(len(logits), len(targets) if targets.dim() == 2 else 1)
    where = targets.expand(members, -1).unsqueeze(-1)
    return _pick(logits, targets) - logits.expand(members, -1, -1).scatter(-1, where, -torch.inf).logsumexp(-1)


def logit_difference(logits: Tensor, targets: Tensor, distractors: Tensor) -> Tensor:
    """Target logit minus distractor logit: float[member, prompt]."""
    return _pick(logits, targets) - _pick(logits, distractors)


def _pick(logits: Tensor, tokens: Tensor) -> Tensor:
    members = max(len(logits), len(tokens) if tokens.dim() == 2 else 1)
    logits, tokens = logits.expand(members, -1, -1), tokens.expand(members, -1)
    return logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
