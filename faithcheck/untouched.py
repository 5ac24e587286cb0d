"""What a method is given and has to leave as it is, beside the weights: its problem, and what the model declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithcheck.method import Problem

Snapshot = Mapping[str, Any]


def snapshot(problem: Problem) -> Snapshot:
    """{what: a copy} of the prompts' tensors, the means of the ablation, and the model's sites and norms."""
    prompts, model = problem.prompts, problem.model
    tensors = {name: value for name, value in vars(prompts).items() if hasattr(value, "clone")}
    tensors |= {f"{part}[{name!r}]": v for part in ("variables", "roles") for name, v in getattr(prompts, part).items()}
    means = problem.ablation.means or {}
    return {
        **{f"prompts.{name}": value.clone() for name, value in tensors.items()},
        **{f"ablation.means[{site!r}]": mean.clone() for site, mean in means.items()},
        "model.sites": dict(model.sites),
        "model.norms": tuple(model.norms),
    }


def changed(before: Snapshot, now: Snapshot) -> list[str]:
    """The names of what is not as it was, to the bit."""
    names = [*before, *(name for name in now if name not in before)]
    return [name for name in names if name not in now or name not in before or not _same(before[name], now[name])]


def _same(one: Any, other: Any) -> bool:
    import torch

    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)
