"""Attribution patching (Nanda 2023) over nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faithcheck.circuit import NodeScores
    from faithcheck.method import Problem


class Attribution:
    """Scores a node by what ablating it does to the loss to first order: the mean over prompts of |(x - b) . dL/dx|.

    x is the node's activation in the whole model, b what it takes when ablated; the product is summed over the
    positions of a prompt, since the node is ablated at all of them. The estimate is that of Nanda 2023 ("Attribution
    patching: activation patching at industrial scale"); Syed et al. 2023 ("Attribution patching outperforms automated
    circuit discovery") rank edges by it. Here it ranks nodes.

    The absolute value is taken prompt by prompt, as in Kramár et al. 2024 ("AtP*", the contribution of a
    node). Syed et al. average first; then a node cancels out that helps one answer as much as it hurts the other, and
    the circuits of the bundled models need up to twice the nodes. AtP*'s two corrections, for saturated attention and
    for paths that cancel, are not made.

    A loss that is 0 to the last bit has no gradient: then every score is 0.
    """

    name = "attribution"

    def extract(self, problem: Problem) -> NodeScores:
        from faithcheck_circuits.methods.gradients import mean_size

        return mean_size(problem, levels=(1.0,))
