"""How far a node's activations differ between the two answers: a baseline that looks and does not intervene."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faithcheck.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.circuit import NodeScores
    from faithcheck.method import Problem

CONSTANT = 1e-5
"""A node whose standard deviation is below this share of its size varies by rounding only, and scores 0."""


class ActivationDifference:
    """Scores a node by the difference of its mean activation between prompts of the two answers, standardised.

    At each position that carries a variable, and at the last, the score is |mean_1 - mean_0| sqrt(p_0 p_1) / sd, where
    p_c is the share of prompts of answer c and sd the standard deviation over all prompts. That is the size of the
    correlation of the activation with the answer (the point-biserial correlation), a standardised difference that
    stays finite, in [0, 1], where the answer alone decides the activation. A node takes the largest over positions.

    Ranking neurons by class means is a baseline of Gurnee et al. 2023 ("Finding neurons in a haystack"); differences
    of means give the probes of Marks and Tegmark 2023 ("The geometry of truth"). It needs no gradient and no mask: the
    problem's loss, ablation, norms and seed do not matter, nor does whether anything reads the node.
    """

    name = "activation_difference"

    def extract(self, problem: Problem) -> NodeScores:
        import torch

        from faithcheck.circuit import NodeScores

        is_one = problem.prompts.classes.cpu() == 1
        if is_one.all() or not is_one.any():
            raise UserError(f"{self.name} compares prompts of two answers; all of these have the same one")
        differences = [_difference(values, is_one) for values in _activations(problem)]
        sizes = [site.size for site in problem.model.sites.values()]
        largest = torch.stack(differences).amax(0).split(sizes)
        return NodeScores(dict(zip(problem.model.sites, largest, strict=True)))


def _activations(problem: Problem) -> list[Tensor]:
    """float64[prompt, node] over all sites in order, one for each role."""
    import torch

    from faithcheck_circuits.methods.chunks import chunks

    sites = tuple(problem.model.sites)
    parts: list[list[Tensor]] = []
    for prompts in chunks(problem):
        with torch.no_grad():
            run = problem.model.run(prompts.tokens, vocab=prompts.targets[:1], capture=sites)
        every = torch.cat([run.captured[site][0] for site in sites], -1)
        rows = torch.arange(len(prompts), device=every.device)
        parts.append([every[rows, positions].cpu().double() for positions in prompts.roles.values()])
    return [torch.cat(role) for role in zip(*parts, strict=True)]


def _difference(values: Tensor, is_one: Tensor) -> Tensor:
    """The standardised difference of float64[prompt, node] between two sets of prompts, float64[node]."""
    share = is_one.double().mean()
    apart = (values[is_one].mean(0) - values[~is_one].mean(0)).abs() * (share * (1 - share)).sqrt()
    spread = values.std(0, correction=0)
    varies = spread > CONSTANT * values.square().mean(0).sqrt()
    return (apart / spread).where(varies, 0.0)
