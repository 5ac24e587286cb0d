"""What a plugin is given and has to leave as it is: the model, what that declares, and its problem."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.method import Problem
from faithcheck.model import Model
from faithcheck.prompts import PromptSet

Snapshot = Mapping[str, Any]


def of_problem(problem: Problem) -> Snapshot:
    """{what: a copy} of the prompts' tensors, the means of the ablation, and the model's sites and norms."""
    means = problem.ablation.means or {}
    return {
        **{f"prompts.{name}": value for name, value in of_prompts(problem.prompts).items()},
        **{f"ablation.means[{site!r}]": mean.clone() for site, mean in means.items()},
        **of_model(problem.model),
    }


def of_model(model: Model) -> Snapshot:
    """{what: a copy} of what it declares."""
    return {"model.sites": dict(model.sites), "model.norms": tuple(model.norms)}


def of_runs(model: Model, prompts: PromptSet) -> Tensor:
    """The logits of a model at the answers, float[1 to 3, prompt, token]; of a changed model others.

    Also as its restriction to all nodes gives them, by itself and under masks that are all on: a model may compute
    these from other copies of its weights. What is copied is copied here, where nothing has been changed yet.
    """
    sizes, device = {name: site.size for name, site in model.sites.items()}, model.device
    with torch.no_grad():
        logits = [model.run(prompts.tokens, positions=prompts.positions).logits]
        with suppress(Exception):  # a `restrict` that raises is the error of whoever asks for it
            every = {name: torch.ones(size, dtype=torch.bool, device=device) for name, size in sizes.items()}
            masks = {name: torch.ones(1, size, dtype=model.dtype, device=device) for name, size in sizes.items()}
            restricted = model.restrict(every, Ablation())
            logits.append(restricted.run(prompts.tokens, positions=prompts.positions).logits)
            logits.append(restricted.run(prompts.tokens, positions=prompts.positions, masks=masks).logits)
        return torch.cat(logits)


def of_prompts(prompts: PromptSet) -> Snapshot:
    """{what: a copy} of every tensor."""
    tensors = {name: value for name, value in vars(prompts).items() if isinstance(value, Tensor)}
    tensors |= {f"{part}[{name!r}]": v for part in ("variables", "roles") for name, v in getattr(prompts, part).items()}
    return {name: value.clone() for name, value in tensors.items()}


def changed(before: Snapshot, now: Snapshot) -> list[str]:
    """The names of what is not as it was, to the bit."""
    names = dict.fromkeys([*before, *now])
    return [name for name in names if name not in now or name not in before or not _equal(before[name], now[name])]


def _equal(one: Any, other: Any) -> bool:
    return same(one, other) if isinstance(one, Tensor) else bool(one == other)


def same(now: Tensor, before: Tensor) -> bool:
    """To the bit, NaN and NaN being the same: a model that gives NaN has not been changed by giving it again."""
    return now.shape == before.shape and bool(((now == before) | (now.isnan() & before.isnan())).all())
