"""A method tried once: on which problems, what it returned, and what it did meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from faithcheck.bench import Bench
from faithcheck.method import Problem
from faithcheck.task_state import plain_errors
from faithcheck.testing.methods.watched import Log, Watched
from faithcheck.testing.surroundings import surroundings
from faithcheck.testing.tiny.model import TinyModel

Work = Callable[[Sequence[Problem]], Iterable[object]]
_global_seeds = itertools.count()


@dataclass(frozen=True)
class Trial:
    """`problems` are on the model as it is; the method got them on one that keeps the `log`.

    `found`: what it returned for each, none where it raised `error`. `altered`: tensors of the model that it changed.
    `touched`: global state that it changed.
    """

    what: str
    bench: Bench
    problems: Sequence[Problem]
    found: Sequence[object]
    error: Exception | None
    log: Log
    altered: Sequence[str]
    touched: Sequence[str]


def tried(what: str, bench: Bench, problems: Sequence[Problem], work: Work) -> Trial:
    """Each trial begins with global random generators in a state of their own."""
    log = Log()
    models = {id(problem.model): problem.model for problem in problems}
    before = [_state(model) for model in models.values()]
    watched = {place: Watched(model, log) for place, model in models.items()}
    found: Sequence[object] = ()
    failure: Exception | None = None
    touched: list[str] = []
    try:
        with plain_errors(), surroundings(next(_global_seeds)) as touched:
            given = work([replace(problem, model=watched[id(problem.model)]) for problem in problems])
            found = list(given) if isinstance(given, Iterable) else [given]
    except Exception as error:
        failure = error
    after = [_state(model) for model in models.values()]
    altered = [difference for was, now in zip(before, after, strict=True) for difference in _differences(was, now)]
    return Trial(what, bench, problems, found, failure, log, altered, touched)


def _state(model: object) -> dict[str, Tensor]:
    """Copies of a tiny model's tensors."""
    assert isinstance(model, TinyModel)
    return {name: tensor.detach().clone() for name, tensor in model.tensors.items()}


def _differences(was: dict[str, Tensor], now: dict[str, Tensor]) -> list[str]:
    names = [name for name in was if name not in now or not torch.equal(was[name], now[name])]
    return names + [name for name in now if name not in was]
