"""The weight-sparse transformer as a `faithcheck.model.Model`, whole or restricted to kept nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.model import Run, Site, Tokenizer
from faithcheck.run_names import check_names
from faithcheck_circuits.transformer.config import Config
from faithcheck_circuits.transformer.forward import forward
from faithcheck_circuits.transformer.network import Network
from faithcheck_circuits.transformer.restricted import Embedding, RestrictedNetwork
from faithcheck_circuits.transformer.sites import sites_of
from faithcheck_circuits.transformer.weights import count_edges, edge_weights, fingerprint, permuted


class _Runnable:
    """What a whole and a restricted transformer share: names, sites, and `run`, which keeps no state between calls.

    `own_prompts`: members may run on prompts of their own, tokens int[member, prompt, pos] and positions
    int[member, prompt].
    """

    portable = True
    own_prompts = True
    trainable = True
    """Whether `run` leaves a graph."""
    name: str
    fingerprint: str
    config: Config
    tokenizer: Tokenizer
    sample_text: tuple[str, ...]
    network: Network
    device: torch.device
    dtype: torch.dtype
    norms: Sequence[str]
    sites: Mapping[str, Site]

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
        """See `faithcheck.model.Model.run`."""
        check_names(self, masks, baselines, norm_scales, capture)
        with nullcontext() if self.trainable else torch.no_grad():
            return forward(self.network, tokens, positions, vocab, masks, baselines, norm_scales, capture)


class SparseTransformer(_Runnable):
    """See `faithcheck.model.Model`. `sample_text` is text of the model's own corpus, empty where none is known."""

    def __init__(
        self,
        name: str,
        config: Config,
        tensors: Mapping[str, Tensor],
        tokenizer: Tokenizer,
        sample_text: Sequence[str] = (),
    ):
        self.name, self.config, self.tokenizer, self.sample_text = name, config, tokenizer, tuple(sample_text)
        self.network = Network(config, tensors)
        self.embedding = Embedding(self.network)
        self.device, self.dtype = tensors["embed"].device, tensors["embed"].dtype
        self.fingerprint = fingerprint(config, tensors)
        self.norms = config.norms()
        self.sites = sites_of(config, self.device)

    def restrict(
        self, keep: Mapping[str, Tensor], ablation: Ablation, trainable: bool = False
    ) -> RestrictedTransformer:
        """The same computation on the kept nodes' rows and columns only.

        keep: {site: bool[node] or bool[member, node]}, every site named. With members, each has its own nodes.
        trainable: whether `run` leaves a graph for gradients with respect to masks and baselines.
        Raises ValueError where a site is missing or has another size, or ablation is not zero.
        """
        if ablation.kind != "zero":
            raise ValueError(
                f"a restricted model leaves ablated nodes out; {ablation.kind} ablation needs the whole one"
            )
        masks = {site: torch.atleast_2d(kept) for site, kept in keep.items()}
        check_names(self, masks)
        missing = sorted(set(self.sites) - set(masks))
        if missing:
            raise ValueError(f"keep does not name {', '.join(missing)}")
        return RestrictedTransformer(self, masks, trainable)

    def count_edges(self, keep: Mapping[str, Tensor]) -> int:
        """The nonzero weights between two kept nodes. keep: {site: bool[node]}."""
        return count_edges(self.config, self.network.tensors, keep)

    def edge_weights(self, keep: Mapping[str, Tensor]) -> Mapping[tuple[str, str], Tensor]:
        """The weights between two kept nodes, {(source site, target site): float[target, source]}."""
        return edge_weights(self.config, self.network.tensors, keep)

    def shuffled(self, seed: int) -> SparseTransformer:
        """The same model with every tensor's values permuted within the tensor.

        A tensor's order depends on the seed, the tensor's name and its size alone, not on the device or the dtype.
        """
        return SparseTransformer(
            f"{self.name}, weights shuffled by seed {seed}",
            self.config,
            {name: permuted(tensor, f"{seed}/{name}") for name, tensor in self.network.tensors.items()},
            self.tokenizer,
            self.sample_text,
        )


class RestrictedTransformer(_Runnable):
    """A circuit of a model as a model of its own; its sites hold the kept nodes, in the order of `faithcheck.slots`.

    Masks, baselines and captured sites of its `run` are over these slots.
    Members with fewer kept nodes are padded with slots that change nothing.
    """

    def __init__(self, whole: SparseTransformer, keep: Mapping[str, Tensor], trainable: bool):
        self.name, self.config, self.tokenizer = whole.name, whole.config, whole.tokenizer
        self.sample_text, self.fingerprint, self.norms = whole.sample_text, whole.fingerprint, whole.norms
        self.device, self.dtype = whole.device, whole.dtype
        network = RestrictedNetwork(whole.network, whole.embedding, keep)
        self.network, self.trainable = network, trainable
        self.sites = {
            site: Site(network.index[site].shape[-1], at.layer, at.kind, _heads(at.head, network.index[site]))
            for site, at in whole.sites.items()
        }


def _heads(head: Tensor | None, index: Tensor) -> Tensor | None:
    return None if head is None else head[index[0]]
