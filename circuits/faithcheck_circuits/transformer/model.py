"""The weight-sparse transformer as a `faithcheck.model.Model`, whole or restricted to kept nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.model import Run, Site, Tokenizer
from faithcheck.run_names import check_names
from faithcheck.slots import slots
from faithcheck_circuits.transformer.config import Config
from faithcheck_circuits.transformer.derived import Derived
from faithcheck_circuits.transformer.forward import forward
from faithcheck_circuits.transformer.network import Network
from faithcheck_circuits.transformer.restricted import RestrictedNetwork
from faithcheck_circuits.transformer.sites import sites_of
from faithcheck_circuits.transformer.weights import count_edges, edge_weights, fingerprint, permuted

if TYPE_CHECKING:
    from faithcheck_circuits.transformer.prepared import Prepared

ByName = Mapping[str, Tensor]


def _compiles(network: Network, norm_scales: ByName) -> bool:
    """Whether there are compiled loops for a network: a frozen sparse one of finite weights on a CPU."""
    embed = network.tensors["embed"]
    return (
        embed.device.type == "cpu"
        and embed.dtype in (torch.float32, torch.float64)
        and network.config.activation_topk is None
        and network.is_frozen
        and network.suits_loops
        and not (torch.is_grad_enabled() and any(scale.requires_grad for scale in norm_scales.values()))
    )


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
    whole: Network
    """The network that it is, or is a part of."""
    device: torch.device
    dtype: torch.dtype
    norms: Sequence[str]
    sites: Mapping[str, Site]
    _keep: ByName | None = None

    @property
    def network(self) -> Network:
        """What runs."""
        return self.whole

    def _parts(self) -> list[Prepared]:
        """The same as the compiled loops take it: a circuit of each member, or the whole network."""
        return [self.whole.prepared()]

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
            if positions is not None and not baselines and not capture and _compiles(self.whole, norm_scales or {}):
                logits = self._compiled(tokens, positions, vocab, masks or {}, norm_scales or {})
                if logits is not None:
                    return Run(logits, {})
            return forward(self.network, tokens, positions, vocab, masks, baselines, norm_scales, capture)

    def _compiled(
        self, tokens: Tensor, positions: Tensor, vocab: Tensor | None, masks: ByName, norm_scales: ByName
    ) -> Tensor | None:
        """What is computed by compiled loops: where gradients are asked for of masks over the nodes of every site, or
        the logits of one circuit.
        """
        if torch.is_grad_enabled() and any(mask.requires_grad for mask in masks.values()):
            if len(masks) < len(self.sites) or any(m.dim() != 2 or m.dtype != self.dtype for m in masks.values()):
                return None
            from faithcheck_circuits.transformer.masked import masked_logits

            return masked_logits(self.whole, self._parts(), tokens, positions, vocab, masks, norm_scales)
        scales = [scale for scale in norm_scales.values() if scale.dim() == 3]
        several = tokens.dim() == 3 or positions.dim() == 2 or any(len(scale) > 1 for scale in scales)
        if masks or several or self._keep is None or any(len(kept) > 1 for kept in self._keep.values()):
            return None
        from faithcheck_circuits.transformer.masked import circuit_logits

        return circuit_logits(self.whole, self._parts()[0], tokens, positions, vocab, norm_scales)


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
        self.whole = Network(config, tensors)
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
        Raises ValueError where a site is missing, has another size or is not bool, or ablation is not zero.
        """
        if ablation.kind != "zero":
            raise ValueError(
                f"a restricted model leaves ablated nodes out; {ablation.kind} ablation needs the whole one"
            )
        masks = {site: torch.atleast_2d(kept).clone() for site, kept in keep.items()}
        check_names(self, masks)
        missing = sorted(set(self.sites) - set(masks))
        if missing:
            raise ValueError(f"keep does not name {', '.join(missing)}")
        other = [f"{site} is {kept.dtype}" for site, kept in masks.items() if kept.dtype != torch.bool]
        if other:
            raise ValueError(f"keep is bool at every site; {other[0]}")
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
        self.whole, self.trainable = whole.network, trainable
        self._keep = keep
        self._network = Derived(partial(_network, self.whole, keep), self.whole.tensors, *self.whole.tensors)
        self._circuits = Derived(partial(_circuits, self.whole, keep), self.whole.tensors, *self.whole.tensors)
        self.sites = {site: _restricted(at, keep[site]) for site, at in whole.sites.items()}

    @property
    def network(self) -> Network:
        return self._network.get()

    def _parts(self) -> list[Prepared]:
        return self._circuits.get()


def _network(whole: Network, keep: ByName, *_: Tensor) -> RestrictedNetwork:
    with torch.enable_grad():  # a later run may want gradients
        return RestrictedNetwork(whole, keep)


def _circuits(whole: Network, keep: ByName, *_: Tensor) -> list[Prepared]:
    from faithcheck_circuits.transformer.prepared import parts

    return parts(whole.prepared(), whole.embedding, keep)


def _restricted(site: Site, kept: Tensor) -> Site:
    size = int(kept.sum(1).max())
    return replace(site, size=size, head=None if site.head is None else site.head[slots(kept)[0][0]])
