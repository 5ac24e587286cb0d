"""How a widened model compares with its original: losses, norms, and what its added nodes do."""

from __future__ import annotations

from typing import Any

import torch
from faithcheck_circuits.transformer.model import SparseTransformer
from pruning import Pruning
from tables import number, paragraph, percent, table
from torch import Tensor
from widened import READOUT

TASKS = ("pronoun", "ioi", "questions")
SENTENCES, WORDS = 128, 9
"""Activations are compared on this many words of so many sentences of the model's corpus."""


def facts(original: SparseTransformer, wide: SparseTransformer) -> dict[str, Any]:
    """Losses on the test prompts, ratios of the norms' scales, and the added nodes' activations, the sites together."""
    tokens = _sentences(original)
    before, after = _captured(original, tokens), _captured(wide, tokens)
    added = {site: after[site][..., at.size :] for site, at in original.sites.items()}
    own = [float(before[site].square().mean().sqrt()) for site in original.sites]
    new = [float(added[site].square().mean().sqrt()) for site in original.sites]
    varying = torch.cat([added[site].flatten(0, -2).std(0) > 1e-4 for site in original.sites])
    nonzero = {name: float((t != 0).float().mean()) for name, t in wide.network.tensors.items() if t.dim() == 2}
    return {
        "losses": {task: [Pruning(model, task).bench.model_loss() for model in (original, wide)] for task in TASKS},
        "norms": {norm: float((after[norm] / before[norm]).mean()) for norm in original.norms},
        "activations": [a / b for a, b in zip(new, own, strict=True)],
        "varying": float(varying.float().mean()),
        "nonzero": {"embed": nonzero.pop("embed"), "least": min(nonzero.values()), "most": max(nonzero.values())},
        "shape": {"channels": wide.config.d_model, "heads": wide.config.heads, "neurons": wide.config.d_mlp},
    }


def _sentences(model: SparseTransformer) -> Tensor:
    rows = [row[:WORDS] for row in map(model.tokenizer.encode, model.sample_text) if len(row) >= WORDS]
    return torch.tensor(rows[:SENTENCES], device=model.device)


def _captured(model: SparseTransformer, tokens: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return dict(model.run(tokens, capture=[*model.norms, *model.sites]).captured)


def render(found: dict[str, Any]) -> list[str]:
    shape, nonzero, norms = found["shape"], found["nonzero"], found["norms"].values()
    made = f"""
        The model is **widened, not trained**: {shape["channels"]} channels, {shape["heads"]} heads and
        {shape["neurons"]} neurons a layer. The first ones are those of stories-sparse with its weights, gains, biases
        and sinks. The added ones read and write each other only: random sparse weights, each drawn from the nonzero
        weights of the original's matrix, so many that about 1/64 of the whole matrix is nonzero, and made smaller by
        the root of how many times more of them there are in a row. Gains, biases and sinks are drawn from the
        original's. Each token's added embedding is random, as sparse as the original's and with the same mean square.
        The unembedding reads the added channels by weights drawn from the original's, times {READOUT}; 1/64 of these
        are nonzero."""
    seen = f"""
        Nonzero are {percent(nonzero["least"])} to {percent(nonzero["most"])} of each matrix and
        {percent(nonzero["embed"])} of the embedding. On sentences of the corpus the norms divide by
        {number(min(norms))} to {number(max(norms))} times what they divide by in the original; no gain is adapted. Site
        by site, the activations of the added nodes have {number(min(found["activations"]))} to
        {number(max(found["activations"]))} times the root mean square of the original's nodes, and
        {percent(found["varying"])} of them vary with the token. Loss on the test prompts, in nats:"""
    losses = [[task, *(f"{loss:.4f}" for loss in pair)] for task, pair in found["losses"].items()]
    return [paragraph(made), "", paragraph(seen), *table(["task", "original", "widened"], losses)]
