"""Two methods whose verdicts are known beforehand: one keeps everything, one keeps nodes drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from faithcheck import parameters

if TYPE_CHECKING:
    from faithcheck.circuit import NodeScores
    from faithcheck.method import Problem


class Full:
    """Keeps every node: the model itself, faithful and useless."""

    name = "full"

    def extract(self, problem: Problem) -> NodeScores:
        import torch

        from faithcheck.circuit import NodeScores

        return NodeScores({name: torch.ones(site.size) for name, site in problem.model.sites.items()})


class Random:
    """Keeps each node with probability `fraction`."""

    name = "random"

    class Parameters(parameters.Parameters):
        fraction: float = Field(0.02, ge=0, le=1, description="share of the nodes that is kept")

    def __init__(self, values: Random.Parameters | None = None):
        self.parameters = values or self.Parameters()

    def extract(self, problem: Problem) -> NodeScores:
        import torch

        from faithcheck.circuit import NodeScores

        generator = torch.Generator().manual_seed(problem.seed)
        sites = problem.model.sites.items()
        draws = {name: torch.rand(site.size, generator=generator) for name, site in sites}
        return NodeScores({name: (draw < self.parameters.fraction).float() for name, draw in draws.items()})
