"""The plain transformer as a `faithcheck.model.Model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from faithcheck.model import Run, Tokenizer
from faithcheck.run_names import check_names
from faithcheck_circuits.plain.config import PlainConfig
from faithcheck_circuits.plain.forward import Pass
from faithcheck_circuits.transformer.sites import sites_of
from faithcheck_circuits.transformer.weights import count_edges, edge_weights, fingerprint, permuted


class PlainTransformer:
    """See `faithcheck.model.Model`. It has no `restrict`: circuits run through masks on the whole model.

    tensors: as `config.shapes()` names them, on one device and of one dtype.
    """

    portable = True
    own_prompts = True

    def __init__(self, name: str, config: PlainConfig, tensors: Mapping[str, Tensor], tokenizer: Tokenizer):
        self.name, self.config, self.tensors, self.tokenizer = name, config, dict(tensors), tokenizer
        self.device, self.dtype = tensors["embed"].device, tensors["embed"].dtype
        self.fingerprint = fingerprint(config, tensors)
        self.norms = config.norms()
        self.sites = sites_of(config, self.device)

    def run(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        vocab: Tensor | None = None,
        masks: Mapping[str, Tensor] | None = None,
        baselines: Mapping[str, Tensor] | None = None,
        norm_scales: Mapping[str, Tensor] | None = None,
        capture: Sequence[str] = (),
    ) -> Run:
        """See `faithcheck.model.Model.run`. Raises ValueError for more positions than have an embedding, too."""
        check_names(self, masks, baselines, norm_scales, capture)
        if self.config.context is not None and tokens.shape[-1] > self.config.context:
            raise ValueError(f"{self.name} has {self.config.context} positions, got prompts of {tokens.shape[-1]}")
        tokens = tokens if tokens.dim() == 3 else tokens[None]
        run = Pass(self.config, self.tensors, masks or {}, baselines or {}, norm_scales or {}, capture)
        x = run.norm("ln_f", run.stream(tokens))
        if positions is not None:
            x, tokens = _at(x, positions), _at(tokens, positions)
        return Run(self._logits(x, tokens, vocab), run.captured)

    def _logits(self, x: Tensor, tokens: Tensor, vocab: Tensor | None) -> Tensor:
        """float[..., token] of float[..., channel], with the bigram table's row of the current token added."""
        unembed = self.tensors["unembed"] if vocab is None else self.tensors["unembed"][vocab]
        logits = x @ unembed.T
        if not self.config.bigram:
            return logits
        table = self.tensors["bigram"][tokens]
        return logits + (table if vocab is None else table[..., vocab])

    def count_edges(self, keep: Mapping[str, Tensor]) -> int:
        """The nonzero weights between two kept nodes. keep: {site: bool[node]}."""
        return count_edges(self.config, self.tensors, keep)

    def edge_weights(self, keep: Mapping[str, Tensor]) -> Mapping[tuple[str, str], Tensor]:
        """The weights between two kept nodes, {(source site, target site): float[target, source]}."""
        return edge_weights(self.config, self.tensors, keep)

    def shuffled(self, seed: int) -> PlainTransformer:
        """The same model with every tensor's values permuted within the tensor, as `SparseTransformer.shuffled`."""
        tensors = {name: permuted(tensor, f"{seed}/{name}") for name, tensor in self.tensors.items()}
        return PlainTransformer(f"{self.name}, weights shuffled by seed {seed}", self.config, tensors, self.tokenizer)


def _at(value: Tensor, positions: Tensor) -> Tensor:
    """[member, prompt, ...] of [member, prompt, pos, ...] at int[prompt] or int[member, prompt]."""
    prompt = torch.arange(value.shape[1], device=value.device)
    if positions.dim() == 1:
        return value[:, prompt, positions]
    value = value.expand(max(len(value), len(positions)), *value.shape[1:])
    return value[torch.arange(len(value), device=value.device)[:, None], prompt, positions]
