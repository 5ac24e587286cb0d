"""What chance decides in training a mask, by the seed alone: where it starts, and the prompts of each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from faithcheck.method import Problem
from faithcheck.scales import norm_scales


@dataclass(frozen=True)
class Minibatch:
    """Prompts of some members: `tokens` and `positions` as `Model.run` takes them, with a member axis where members
    have prompts of their own, and `partners` as `tokens` where prompts have any; `targets` and `distractors`
    int[member, prompt], places in `vocab`; scales if frozen.
    """

    tokens: Tensor
    positions: Tensor
    targets: Tensor
    distractors: Tensor
    vocab: Tensor | None
    norm_scales: Mapping[str, Tensor] | None
    partners: Tensor | None


class Drawn:
    """The noise and the minibatches of several problems on one model, with the same loss and norms.

    Problems with the same seed and prompts share them: a *stream*. `noise`: float[member, node].
    """

    def __init__(self, problems: Sequence[Problem], nodes: int, steps: int, batch: int):
        device = problems[0].model.device
        places = [(problem.seed, problem.prompts.texts) for problem in problems]
        number = {place: i for i, place in enumerate(dict.fromkeys(places))}
        streams = [problems[places.index(place)] for place in number]
        generators = [torch.Generator().manual_seed(problem.seed) for problem in streams]
        self._streams = [number[place] for place in places]
        self.noise = torch.stack([torch.randn(nodes, generator=g) for g in generators])[self._streams].to(device)
        draws = [
            torch.randint(len(problem.prompts), (steps, batch), generator=g)
            for problem, g in zip(streams, generators, strict=True)
        ]
        self._draws = torch.stack(draws).to(device)
        own = [problem.prompts for problem in streams]
        self._tokens, self._positions = (_padded([getattr(p, name) for p in own]) for name in ("tokens", "positions"))
        partners = [p.partners for p in own if p.partners is not None]
        self._partners = _padded(partners) if partners else None
        self._vocab, answers = _vocab(problems)
        self._targets, self._distractors = answers
        self._scales: dict[str, Tensor] | None = None
        if problems[0].norms == "frozen":
            found = [norm_scales(problem.model, problem.prompts) for problem in streams]
            self._scales = {norm: _padded([scales[norm][0] for scales in found]) for norm in found[0]}

    def alike(self, rows: Sequence[int]) -> list[list[int]]:
        """The members of each stream, of some members."""
        streams: dict[int, list[int]] = {}
        for row in rows:
            streams.setdefault(self._streams[row], []).append(row)
        return list(streams.values())

    def of(self, members: Sequence[int]) -> Callable[[int], Minibatch]:
        """The prompts of some members, by the step. A device is not waited for at a step."""
        device = self._draws.device
        streams = [self._streams[i] for i in members]
        shared = len(set(streams)) == 1
        member = torch.tensor(members, device=device)[:, None]
        stream = streams[0] if shared else torch.tensor(streams, device=device)
        of_prompt = stream if isinstance(stream, int) else stream[:, None]

        def at(step: int) -> Minibatch:
            own = self._draws[stream, step]
            where, answers = (of_prompt, own), (member, own)
            scales = None
            if self._scales is not None:
                scales = {norm: table[where][None] if shared else table[where] for norm, table in self._scales.items()}
            return Minibatch(
                self._tokens[where],
                self._positions[where],
                self._targets[answers],
                self._distractors[answers],
                self._vocab,
                scales,
                None if self._partners is None else self._partners[where],
            )

        return at


def _padded(rows: Sequence[Tensor]) -> Tensor:
    """Tensors [prompt, ...] as one [row, prompt, ...], with zeros at the end of the shorter ones."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def _vocab(problems: Sequence[Problem]) -> tuple[Tensor | None, tuple[Tensor, Tensor]]:
    """The tokens whose logits the loss needs, None for all; int[member, prompt] targets and distractors among them."""
    targets, distractors = (
        _padded([getattr(p.prompts, name) for p in problems]) for name in ("targets", "distractors")
    )
    if problems[0].loss == "full":
        return None, (targets, distractors)
    vocab = torch.unique(torch.cat([targets.flatten(), distractors.flatten()]))
    return vocab, (torch.searchsorted(vocab, targets), torch.searchsorted(vocab, distractors))
