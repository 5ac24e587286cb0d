"""Prompts as tensors: what a method, a check or a cut runs a model on."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faithcheck.errors import UserError
from faithcheck.prompt_tokens import answer_tokens, prompt_row, value_end
from faithcheck.strict_tokenizer import StrictTokenizer, strict

if TYPE_CHECKING:
    from faithcheck.model import Tokenizer
    from faithcheck.task import Prompt, Task

CAP = 512
"""At most this many prompts of a split are used: a fixed cap, so that no sample grows until a verdict comes."""


@dataclass(frozen=True)
class PromptSet:
    """Prompts of one split. All int64: `tokens` [prompt, pos] right-padded, the others [prompt].

    `positions`: the answer position (the last token). `units`: the independent unit each prompt belongs to.
    `variables[name]`: the index of the prompt's level among `levels[name]`. `roles[name]`: the position of the last
    token of a slot that carries a variable, and of the answer position as "last". `frames`: the template that each
    prompt fills in, all of it but the unit and what carries a variable. `partners`: the tokens of each prompt's
    partner, int[prompt, pos], where the prompts are `paired`.
    """

    texts: tuple[str, ...]
    tokens: Tensor
    positions: Tensor
    targets: Tensor
    distractors: Tensor
    classes: Tensor
    units: Tensor
    frames: Tensor
    variables: Mapping[str, Tensor]
    levels: Mapping[str, tuple[str, ...]]
    roles: Mapping[str, Tensor]
    partners: Tensor | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, index: Tensor) -> PromptSet:
        """The prompts at `index` (int[prompt])."""
        return replace(
            self,
            texts=tuple(self.texts[i] for i in index.tolist()),
            **{name: getattr(self, name)[index] for name in _PER_PROMPT},
            variables={name: v[index] for name, v in self.variables.items()},
            roles={name: v[index] for name, v in self.roles.items()},
            partners=None if self.partners is None else self.partners[index],
        )

    def paired(self) -> PromptSet:
        """The prompts, each with a partner: one of as many tokens with the other answer, drawn by a fixed seed.

        Raises UserError naming a prompt that has none.
        """
        generator, width = torch.Generator().manual_seed(0), self.tokens.shape[1]
        kinds = (self.classes * width + self.positions).tolist()
        places: dict[int, list[int]] = {}
        for place, kind in enumerate(kinds):
            places.setdefault(kind, []).append(place)
        partner = torch.zeros(len(self), dtype=torch.int64)
        for kind, own in places.items():
            others = places.get(kind + width if kind < width else kind - width)
            if others is None:
                raise UserError(
                    f"resample ablation: {self.texts[own[0]]!r} has {kind % width + 1} tokens, and none of the prompts "
                    "with the other answer has as many; let words of both answers be as long, or take another ablation"
                )
            partner[own] = torch.tensor(others)[torch.randint(len(others), (len(own),), generator=generator)]
        return replace(self, partners=self.tokens[partner.to(self.tokens.device)])

    def relabelled(self, answers: tuple[int, int]) -> PromptSet:
        """The same prompts with other answer tokens: `answers[c]` is the target of class c."""
        table = torch.tensor(answers, device=self.tokens.device)
        return replace(self, targets=table[self.classes], distractors=table[1 - self.classes])

    def to(self, device: torch.device | str) -> PromptSet:
        return replace(
            self,
            **{name: getattr(self, name).to(device) for name in _PER_PROMPT},
            variables={name: v.to(device) for name, v in self.variables.items()},
            roles={name: v.to(device) for name, v in self.roles.items()},
            partners=None if self.partners is None else self.partners.to(device),
        )


_PER_PROMPT = ("tokens", "positions", "targets", "distractors", "classes", "units", "frames")


def encode(task: Task, split: str, tokenizer: Tokenizer, cap: int | None = CAP) -> PromptSet:
    """The prompts of a split or shift of a task, at most `cap` of them, balanced between the two answers.

    Raises UserError naming task and word where the tokenizer does not know a word, an answer is not one token, both
    answers are the same one, or a slot's value does not end at a token.
    """
    prompts = _capped(task.prompts(split), cap, f"{task.fingerprint}/{split}")
    try:
        rows, answers, roles = _encoded(strict(tokenizer), prompts, list(task.tokens.values()))
    except UserError as error:
        raise UserError(f"task {task.name}: {error.message}") from error
    width = max(map(len, rows))
    classes = [list(task.tokens).index(p.answer) for p in prompts]
    units, frames = (
        {key: i for i, key in enumerate(dict.fromkeys(keys))}
        for keys in ((p.unit for p in prompts), (p.frame for p in prompts))
    )
    return PromptSet(
        texts=tuple(p.text for p in prompts),
        tokens=torch.tensor([row + [0] * (width - len(row)) for row in rows]),
        positions=torch.tensor(roles["last"]),
        targets=torch.tensor([answers[c] for c in classes]),
        distractors=torch.tensor([answers[1 - c] for c in classes]),
        classes=torch.tensor(classes),
        units=torch.tensor([units[p.unit] for p in prompts]),
        frames=torch.tensor([frames[p.frame] for p in prompts]),
        variables={
            name: torch.tensor([levels.index(p.variables[name]) for p in prompts])
            for name, levels in task.variables.items()
        },
        levels=dict(task.variables),
        roles={name: torch.tensor(places) for name, places in roles.items()},
    )


def _encoded(
    tokenizer: StrictTokenizer, prompts: Sequence[Prompt], answers: Sequence[str]
) -> tuple[list[list[int]], list[int], dict[str, list[int]]]:
    """The tokens of every prompt, those of the answers, and every prompt's positions by role."""
    if "last" in prompts[0].roles:
        raise UserError("a slot that carries a variable cannot be called last, the answer position is")
    rows = [prompt_row(tokenizer, p.text) for p in prompts]
    tokens = answer_tokens(tokenizer, [p.text for p in prompts], answers)
    pairs = list(zip(rows, prompts, strict=True))
    roles = {
        name: [value_end(tokenizer, p.text, row, p.roles[name][1], name) for row, p in pairs]
        for name in prompts[0].roles
    }
    return rows, tokens, {**roles, "last": [len(row) - 1 for row in rows]}


def _capped(prompts: Sequence[Prompt], cap: int | None, salt: str) -> Sequence[Prompt]:
    """At most `cap` prompts, as many of each answer as there are, drawn by a fixed seed, in their own order."""
    if cap is None or len(prompts) <= cap:
        return prompts
    rng = random.Random(salt)
    levels = sorted({p.answer for p in prompts})
    kept: set[int] = set()
    for level in levels:
        rows = [i for i, p in enumerate(prompts) if p.answer == level]
        kept.update(rng.sample(rows, min(len(rows), cap // len(levels))))
    return [prompts[i] for i in sorted(kept)]
