"""Integrated gradients (Sundararajan et al. 2017) over nodes, from the ablated to the whole model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from faithcheck import parameters

if TYPE_CHECKING:
    from faithcheck.circuit import NodeScores
    from faithcheck.method import Problem


class IntegratedGradients:
    """Scores a node by the gradient of the loss towards its mask, averaged on the way from all masks 0 to all masks 1.

    The masks of all nodes are at k / steps together, k = 1 ... steps: the steps of EAP-IG (Hanna et al. 2024, "Have
    faith in faithfulness"). There edges are scored, and the way leads from the corrupted prompt's input
    embeddings to the clean one's, so that activations follow. Here nodes are scored, and embeddings are no nodes, so
    the way leads through the masks themselves: at every site at once. With many steps the gradients of all nodes,
    with their signs, sum to the loss of the whole model less that of the ablated one (Sundararajan et al. 2017,
    "Axiomatic attribution for deep networks", proposition 1).

    The absolute value of a prompt's average is taken before the mean over prompts, as in `attribution`.
    """

    name = "integrated_gradients"

    class Parameters(parameters.Parameters):
        steps: int = Field(5, gt=0, description="points on the way, the whole model the last of them")

    def __init__(self, values: IntegratedGradients.Parameters | None = None):
        self.parameters = values or self.Parameters()

    def extract(self, problem: Problem) -> NodeScores:
        from faithcheck_circuits.methods.gradients import mean_size

        steps = self.parameters.steps
        return mean_size(problem, levels=[k / steps for k in range(1, steps + 1)])
