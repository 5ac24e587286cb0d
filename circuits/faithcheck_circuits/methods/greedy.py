"""Greedy backward elimination over nodes, after ACDC (Conmy et al. 2023)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from faithcheck import parameters

if TYPE_CHECKING:
    from faithcheck.circuit import NodeScores
    from faithcheck.method import Problem
    from faithcheck.prompts import PromptSet


class Greedy:
    """Turns nodes off for good, site by site from the last to the first, where the loss can bear it.

    ACDC (Conmy et al. 2023, "Towards automated circuit discovery for mechanistic interpretability", algorithm 1) goes
    through the edges from the output to the input, one at a time, and removes an edge for good where that raises its
    metric by less than a threshold. Here nodes are removed instead of edges, in groups, which are halved down to single
    nodes where they are needed. A site's threshold is its equal share of what is left of a limit on the loss, so that
    the circuit meets the limit and no threshold has to be found.

    There is one such pass for each of `limits`, the next one on what the last one left. A node's score is the share of
    passes that it survived: 0 and 1 for a single limit, as of a method that returns one finished circuit. With several,
    the circuits lie inside each other, and the harness can take a larger one where the smallest does not carry over to
    other prompts. The order of removal would be no order of importance: it is that of the sites.
    """

    name = "greedy"

    class Parameters(parameters.Parameters):
        limits: tuple[float, ...] = Field(
            (0.1, 0.3, 1.0),
            min_length=1,
            description="limits on the loss, ascending; 0 is the whole model's, 1 the target",
        )
        group: int = Field(256, gt=0, description="nodes that are tried together at first")
        prompts: int = Field(128, gt=0, description="train prompts, drawn by the seed, that the loss is a mean over")

        @field_validator("limits")
        @classmethod
        def _ascend(cls, limits: tuple[float, ...]) -> tuple[float, ...]:
            if limits[0] < 0 or any(one >= other for one, other in pairwise(limits)):
                raise ValueError("must be at least 0 and ascend")
            return limits

    def __init__(self, values: Greedy.Parameters | None = None):
        self.parameters = values or self.Parameters()

    def extract(self, problem: Problem) -> NodeScores:
        import torch

        from faithcheck.circuit import NodeScores
        from faithcheck_circuits.methods.elimination import Elimination

        search = Elimination(problem, _drawn(problem, self.parameters.prompts), self.parameters.group)
        whole, room = search.loss, max(problem.target_loss - search.loss, 0.0)
        survived = {name: torch.zeros(site.size) for name, site in problem.model.sites.items()}
        for limit in self.parameters.limits:
            search.eliminate(whole + limit * room)
            for name, on in search.on.items():
                survived[name] += on.cpu()
        return NodeScores({name: passes / len(self.parameters.limits) for name, passes in survived.items()})


def _drawn(problem: Problem, count: int) -> PromptSet:
    """Up to so many of the problem's prompts, by its seed."""
    import torch

    generator = torch.Generator().manual_seed(problem.seed)
    order = torch.randperm(len(problem.prompts), generator=generator)[:count]
    return problem.prompts.select(order.to(problem.prompts.tokens.device))
