"""What a model is to the harness: named sites and norms, and one call that runs it under masks.

Laws, tested for every adapter: with no masks, and with all-on masks, `run` is exactly the model; norm scales
taken from the model itself change nothing; `restrict(keep)` gives the logits of the model masked to `keep`;
splitting a batch of prompts and padding them change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from faithcheck.ablation import Ablation

SITE_KINDS = ("attn_in", "attn_q", "attn_k", "attn_v", "attn_out", "mlp_in", "mlp_neuron", "mlp_out")
"""Site types after Gao et al. 2025: `*_in` after the norm, `attn_out` and `mlp_out` before the residual add."""

HEADED = ("attn_q", "attn_k", "attn_v")
"""Kinds whose nodes belong to heads."""

READ_AT_ANY_POSITION = ("attn_in", "attn_k", "attn_v")
"""Kinds whose values at an earlier position the last layer's answer position can still read."""


REQUIRED = ("name", "fingerprint", "device", "dtype", "sites", "norms", "tokenizer", "run")
"""What a model has to have; the rest is optional."""


@dataclass(frozen=True)
class Site:
    """A place where activations can be masked. `head[node]` is the head of a q, k or v node, else None.

    Grouped attention has fewer heads of keys and values than of queries: of g query heads a value head, query heads
    i * g to (i + 1) * g - 1 read the keys and values of head i (`faithcheck.heads`).
    """

    size: int
    layer: int
    kind: str
    head: Tensor | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Run:
    """`logits`: float[member, prompt, token], or float[member, prompt, pos, token] where no positions were given.

    `captured`: a site gives float[member, prompt, pos, node], its value before the intervention there; a norm gives
    float[member, prompt, pos], the scale it divided by; `"{layer}.attn_pattern"` gives
    float[member, prompt, query head, query, key + 1], the last column being the sink; it need not leave a graph. The
    member axis is 1 where nothing upstream differs between members.
    """

    logits: Tensor
    captured: Mapping[str, Tensor]


class Tokenizer(Protocol):
    """`encode` may begin every text with a token, but ends none with one. For a word that it does not know it raises
    ValueError, or gives the token that the optional attribute `unknown: int | None` names.
    """

    def encode(self, text: str) -> list[int]: ...
    def decode(self, tokens: Sequence[int]) -> str: ...


@runtime_checkable
class Model(Protocol):
    """Every tensor lives on `device`.

    A model that can be pickled, to be run in several processes at once, has `portable = True`.

    One whose members may run on prompts of their own has `own_prompts = True`: `tokens` may then be int[member, prompt,
    pos] and `positions` int[member, prompt], of as many members as the levers have, or these one.
    """

    name: str
    fingerprint: str
    device: torch.device
    dtype: torch.dtype
    sites: Mapping[str, Site]
    norms: Sequence[str]
    tokenizer: Tokenizer

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
        """Run `tokens` (int[prompt, pos], right-padded) with x <- m x + (1 - m) b at each masked site.

        positions: int[prompt], logits at these only. vocab: int[token], logits of these only.
        masks: {site: float in [0, 1]}, [member, node] or broadcastable to [member, prompt, pos, node].
        baselines: {site: broadcastable to [member, prompt, pos, node]}, 0 where left out.
        norm_scales: {norm: broadcastable to [member, prompt, pos]}, divide-by scales used instead of the live ones.
        Raises ValueError for an unknown site or norm, or a mask whose last axis is not the site's size.
        """
        ...

    def restrict(self, keep: Mapping[str, Tensor], ablation: Ablation, trainable: bool = False) -> Model:
        """Optional. The same computation on the kept nodes' rows and columns only.

        Asked for with zero ablation only; with any other, circuits run through masks and baselines on the whole model.
        keep: {site: bool[node] or bool[member, node]}, every site. The result holds the kept nodes in the order of
        `faithcheck.slots`; a captured pattern holds only the query heads that read a head with a kept attn_v node, in
        ascending order, each member's own and padded at the end.
        trainable: whether `run` leaves a graph for gradients with respect to masks and baselines.
        """
        ...

    def count_edges(self, keep: Mapping[str, Tensor]) -> int:
        """Optional. The number of nonzero weights between two kept nodes."""
        ...

    def edge_weights(self, keep: Mapping[str, Tensor]) -> Mapping[tuple[str, str], Tensor]:
        """Optional. What the edges weigh, to draw them: {(source site, target site): float[kept target, kept source]}.

        Those that are not 0 are the edges that `count_edges` counts.
        """
        ...

    def shuffled(self, seed: int) -> Model:
        """Optional. A model of the same shape whose weights are this one's, permuted within each tensor.

        Every tensor keeps its values, and so its sparsity; the order depends on the seed and on which tensor it is.
        Sites, norms, tokenizer, device and dtype are this model's, name and fingerprint are not.
        """
        ...
