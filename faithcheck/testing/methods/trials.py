"""A method tried once: on which problems, what it returned, and what it did meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from faithcheck.bench import Bench
from faithcheck.circuit import NodeScores
from faithcheck.method import Problem
from faithcheck.plain_errors import plain_errors
from faithcheck.testing.methods.watched import Log, Watched
from faithcheck.testing.surroundings import surroundings
from faithcheck.testing.tiny.model import TinyModel
from faithcheck.untouched import changed, of_problem

Work = Callable[[Sequence[Problem]], Iterable[object]]
_global_seeds = itertools.count()


@dataclass(frozen=True)
class Trial:
    """`problems` are on the model as it is; the method got them on one that keeps the `log`.

    `found`: what it returned for each, none where it raised `error`; `flat`: copies of the scores at that time,
    float[node], None where there are no such scores. `altered`: tensors of the model that it changed, `edited`: other
    parts of the problems. `touched`: global state that it changed.
    """

    what: str
    bench: Bench
    problems: Sequence[Problem]
    found: Sequence[object]
    flat: Sequence[Tensor | None]
    error: Exception | None
    log: Log
    altered: Sequence[str]
    edited: Sequence[str]
    touched: Sequence[str]


def tried(what: str, bench: Bench, problems: Sequence[Problem], work: Work) -> Trial:
    """Each trial begins with global random generators in a state of their own; the method gets copies of problems."""
    log = Log()
    models = {id(problem.model): problem.model for problem in problems}
    before, whole = [_state(model) for model in models.values()], [of_problem(problem) for problem in problems]
    watched = {place: Watched(model, log) for place, model in models.items()}
    lent = [replace(problem, model=watched[id(problem.model)]) for problem in _copies(problems)]
    found: Sequence[object] = ()
    failure: Exception | None = None
    touched: list[str] = []
    try:
        with plain_errors(), surroundings(next(_global_seeds)) as touched:
            given = work(lent)
            found = list(given) if isinstance(given, Iterable) else [given]
    except Exception as error:
        failure = error
    after = [_state(model) for model in models.values()]
    altered = [difference for was, now in zip(before, after, strict=True) for difference in _differences(was, now)]
    altered += log.written
    edited = [what for was, problem in zip(whole, lent, strict=True) for what in changed(was, of_problem(problem))]
    flat = [flat_scores(problem, scores) for problem, scores in zip(problems, found, strict=False)]
    return Trial(what, bench, problems, found, flat, failure, log, altered, list(dict.fromkeys(edited)), touched)


def _copies(problems: Sequence[Problem]) -> list[Problem]:
    """With prompts and ablation of their own; what two problems share, they share."""
    memo: dict[int, Any] = {}
    return [
        replace(problem, prompts=deepcopy(problem.prompts, memo), ablation=deepcopy(problem.ablation, memo))
        for problem in problems
    ]


def flat_scores(problem: Problem, found: object) -> Tensor | None:
    """float[node], a copy; None where these are no scores of the problem, which another law says."""
    try:
        assert isinstance(found, NodeScores)
        return found.flat(problem.model).clone()
    except Exception:
        return None


def _state(model: object) -> dict[str, Tensor]:
    """Copies of a tiny model's tensors, and which of them want gradients."""
    assert isinstance(model, TinyModel)
    tensors = {name: tensor.detach().clone() for name, tensor in model.tensors.items()}
    return tensors | {f"requires_grad of {name}": torch.tensor(t.requires_grad) for name, t in model.tensors.items()}


def _differences(was: dict[str, Tensor], now: dict[str, Tensor]) -> list[str]:
    names = [name for name in was if name not in now or not torch.equal(was[name], now[name])]
    return names + [name for name in now if name not in was]
