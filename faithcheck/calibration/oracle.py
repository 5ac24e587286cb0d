"""A method that cannot be fooled: it knows the circuit."""

from __future__ import annotations

import math

import torch

from faithcheck.circuit import Circuit, Convergence, NodeScores
from faithcheck.method import Problem
from faithcheck.model import Model


class Oracle:
    """Returns the planted circuit for any labels on the planted model, and no node on any other model.

    It does not search, so there is nothing to reach by trying harder: what it misses counts as out of reach.
    """

    name = "oracle"

    def __init__(self, model: Model, circuit: Circuit):
        self._fingerprint, self._circuit = model.fingerprint, circuit

    def extract(self, problem: Problem) -> NodeScores:
        sites = problem.model.sites
        if problem.model.fingerprint == self._fingerprint:
            scores = {name: kept.to(torch.float64) for name, kept in self._circuit.keep.items()}
        else:
            scores = {name: torch.zeros(site.size, dtype=torch.float64) for name, site in sites.items()}
        return NodeScores(scores, Convergence(math.inf, sum(site.size for site in sites.values()), flattened=True))
