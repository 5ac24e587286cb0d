"""How strong a size penalty should be: trained on some frames of the train split, chosen on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from faithcheck.circuit import NodeScores
from faithcheck.cutting import Cut, Cutter
from faithcheck.method import Problem
from faithcheck.prompts import PromptSet


def parts(problem: Problem) -> tuple[PromptSet, PromptSet]:
    """The prompts to train on, and those, of other frames, to choose the penalty on; all for both of few frames.

    Masks fit the frames that they are trained on: a penalty chosen on the same ones favours masks that fit no others.
    Where a frame decides the answer, a fifth of each answer's frames is held out.
    """
    prompts = problem.prompts
    generator = torch.Generator().manual_seed(problem.seed)
    apart = torch.zeros(len(prompts), dtype=torch.bool, device=prompts.tokens.device)
    for answers in ({0}, {1}, {0, 1}):
        frames = [f for f in prompts.frames.unique().tolist() if _answers(prompts, f) == answers]
        order = torch.randperm(len(frames), generator=generator)[: len(frames) // 5].tolist()
        for place in order:
            apart |= prompts.frames == frames[place]
    if len(prompts.classes[apart].unique()) < 2:
        return prompts, prompts
    return prompts.select((~apart).nonzero().flatten()), prompts.select(apart.nonzero().flatten())


def smallest(problem: Problem, found: Sequence[Mapping[str, Tensor]]) -> int:
    """The place of the scores that reach the target with the fewest nodes on the problem's prompts, else of those of
    the lowest loss."""
    if len(found) == 1:
        return 0
    scales = problem.norm_scales()
    cutter = Cutter(problem.model, problem.prompts, problem.loss, problem.target_loss, problem.ablation, scales)

    def rank(cut: Cut) -> tuple[bool, float]:
        return (False, cut.size) if cut.reached else (True, cut.loss)

    ranks = [rank(cutter.cut(NodeScores(scores), whole_curve=False)) for scores in found]
    return ranks.index(min(ranks))


def _answers(prompts: PromptSet, frame: int) -> set[int]:
    return set(prompts.classes[prompts.frames == frame].tolist())
