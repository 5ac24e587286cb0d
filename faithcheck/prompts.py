"""Prompts as tensors: what a method, a check or a cut runs a model on."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faithcheck.errors import UserError

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

    Raises UserError naming the text where the tokenizer does not know a word, an answer is not one token, both answers
    are the same one, or a slot's value does not end at a token.
    """
    prompts = _capped(task.prompts(split), cap, f"{task.fingerprint}/{split}")
    rows = [_tokens(tokenizer, task, p.text) for p in prompts]
    width = max(map(len, rows))
    answers = _answer_tokens(tokenizer, task, prompts[0].text)
    if "last" in prompts[0].roles:
        raise UserError(
            f"task {task.name}: a slot that carries a variable cannot be called last, the answer position is"
        )
    classes = [list(task.tokens).index(p.answer) for p in prompts]
    units, frames = (
        {key: i for i, key in enumerate(dict.fromkeys(keys))}
        for keys in ((p.unit for p in prompts), (p.frame for p in prompts))
    )
    last = [len(row) - 1 for row in rows]
    roles = {
        name: torch.tensor([_role(tokenizer, row, p, name) for row, p in zip(rows, prompts, strict=True)])
        for name in prompts[0].roles
    }
    return PromptSet(
        texts=tuple(p.text for p in prompts),
        tokens=torch.tensor([row + [0] * (width - len(row)) for row in rows]),
        positions=torch.tensor(last),
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
        roles={**roles, "last": torch.tensor(last)},
    )


def answer_token(tokenizer: Tokenizer, text: str, answer: str) -> int:
    """The one token that continues `text` with `answer`. Raises UserError where it is not one token."""
    before = tokenizer.encode(text)
    gap = "" if not answer[0].isalnum() else " "
    try:
        after = tokenizer.encode(text + gap + answer)
    except ValueError as error:
        raise UserError(f"the answer {answer!r} cannot be encoded: {error}") from error
    if after[: len(before)] != before or len(after) != len(before) + 1:
        raise UserError(f"the answer {answer!r} is {len(after) - len(before)} tokens after {text!r}, not one")
    return after[-1]


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


def _tokens(tokenizer: Tokenizer, task: Task, text: str) -> list[int]:
    try:
        return tokenizer.encode(text)
    except ValueError as error:
        raise UserError(f"task {task.name}: {text!r} cannot be encoded: {error}") from error


def _answer_tokens(tokenizer: Tokenizer, task: Task, text: str) -> list[int]:
    answers = list(task.tokens.values())
    try:
        tokens = [answer_token(tokenizer, text, answer) for answer in answers]
    except UserError as error:
        raise UserError(f"task {task.name}: {error.message}") from error
    if tokens[0] == tokens[1]:
        raise UserError(f"task {task.name}: the answers {answers[0]!r} and {answers[1]!r} are one and the same token")
    return tokens


def _role(tokenizer: Tokenizer, row: list[int], prompt: Prompt, name: str) -> int:
    try:
        prefix = tokenizer.encode(prompt.text[: prompt.roles[name][1]])
    except ValueError:
        prefix = []
    if not prefix or row[: len(prefix)] != prefix:
        raise UserError(f"{prompt.text!r}: the value of {name} does not end at a token")
    return len(prefix) - 1
