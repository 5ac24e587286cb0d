"""A small plain transformer with every part of `faithcheck.model.Model` that is not optional, and `shuffled`.

The laws of methods are tried on it, and whoever writes an adapter can read it: nothing in it is fast, and all is said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from faithcheck.model import HEADED, SITE_KINDS, Run, Site, Tokenizer
from faithcheck.testing.tiny.levers import Levers

EPS = 1e-6
ByName = Mapping[str, Tensor]


class TinyModel:
    """Pre-norm blocks with RMSNorm, causal attention with a sink, a GELU MLP; no positional embedding.

    tensors: "embed", "unembed" float[token, channel]; "{layer}.{kind}.weight" float[node, source node] for every kind
    of site but the two after a norm; "{layer}.sink" float[head]; "{norm}.gain" float[channel]. `sample_text`: text of
    the model's own, which mean ablation takes means over.
    """

    def __init__(self, name: str, tensors: ByName, tokenizer: Tokenizer, sample_text: Sequence[str] = ()):
        self.name, self.tensors, self.tokenizer, self.sample_text = name, dict(tensors), tokenizer, tuple(sample_text)
        self.device, self.dtype = tensors["embed"].device, tensors["embed"].dtype
        self.layers = sum(key.endswith(".sink") for key in tensors)
        self.norms: Sequence[str] = [f"{layer}.{norm}" for layer in range(self.layers) for norm in ("ln_1", "ln_2")] + [
            "ln_f"
        ]
        self.sites = {f"{layer}.{kind}": self._site(layer, kind) for layer in range(self.layers) for kind in SITE_KINDS}

    def _site(self, layer: int, kind: str) -> Site:
        source = {"attn_in": "attn_q", "mlp_in": "mlp_neuron"}.get(kind)
        weight = self.tensors[f"{layer}.{source or kind}.weight"]
        size = weight.shape[1] if source else weight.shape[0]
        if kind not in HEADED:
            return Site(size, layer, kind)
        heads = len(self.tensors[f"{layer}.sink"])
        return Site(size, layer, kind, torch.arange(size, device=self.device) // (size // heads))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names, shapes and values of all tensors."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def run(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        vocab: Tensor | None = None,
        masks: ByName | None = None,
        baselines: ByName | None = None,
        norm_scales: ByName | None = None,
        capture: Sequence[str] = (),
    ) -> Run:
        """See `faithcheck.model.Model.run`. Every position is computed, and those asked for are picked at the end."""
        levers = Levers(self, masks or {}, baselines or {}, norm_scales or {}, capture)
        stream = self.tensors["embed"][tokens][None]
        for layer in range(self.layers):
            stream = stream + self._attention(layer, stream, levers)
            stream = stream + self._mlp(layer, stream, levers)
        stream = self._norm("ln_f", stream, levers)
        if positions is not None:
            stream = stream[:, torch.arange(len(tokens), device=self.device), positions]
        unembed = self.tensors["unembed"] if vocab is None else self.tensors["unembed"][vocab]
        return Run(stream @ unembed.T, levers.captured)

    def shuffled(self, seed: int) -> TinyModel:
        """The same model with every tensor's values permuted within the tensor."""
        generator = torch.Generator().manual_seed(seed)
        tensors = {}
        for name, tensor in self.tensors.items():
            order = torch.randperm(tensor.numel(), generator=generator).to(self.device)
            tensors[name] = tensor.flatten()[order].view_as(tensor)
        name = f"{self.name}, weights shuffled by seed {seed}"
        return type(self)(name, tensors, self.tokenizer, self.sample_text)

    def _attention(self, layer: int, stream: Tensor, levers: Levers) -> Tensor:
        """What the layer's heads add to the stream, both float[member, prompt, pos, channel]."""
        source = levers.site(f"{layer}.attn_in", self._norm(f"{layer}.ln_1", stream, levers))
        q, k, v = (self._by_head(layer, levers.site(f"{layer}.{s}", self._linear(layer, s, source))) for s in HEADED)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=self.device).triu(1)
        sink = self.tensors[f"{layer}.sink"][:, None, None].expand(*scores.shape[:-1], 1)
        pattern = torch.cat([scores.masked_fill(future, -torch.inf), sink], -1).softmax(-1)
        levers.keep(f"{layer}.attn_pattern", pattern)
        mixed = (pattern[..., :-1] @ v).transpose(2, 3).flatten(-2)
        return levers.site(f"{layer}.attn_out", self._linear(layer, "attn_out", mixed))

    def _mlp(self, layer: int, stream: Tensor, levers: Levers) -> Tensor:
        source = levers.site(f"{layer}.mlp_in", self._norm(f"{layer}.ln_2", stream, levers))
        neurons = levers.site(f"{layer}.mlp_neuron", F.gelu(self._linear(layer, "mlp_neuron", source)))
        return levers.site(f"{layer}.mlp_out", self._linear(layer, "mlp_out", neurons))

    def _norm(self, name: str, stream: Tensor, levers: Levers) -> Tensor:
        scale = levers.scale(name, (stream.square().mean(-1) + EPS).sqrt())
        return stream / scale[..., None] * self.tensors[f"{name}.gain"]

    def _linear(self, layer: int, kind: str, source: Tensor) -> Tensor:
        return source @ self.tensors[f"{layer}.{kind}.weight"].T

    def _by_head(self, layer: int, x: Tensor) -> Tensor:
        """float[member, prompt, pos, node] -> float[member, prompt, head, pos, node of the head]."""
        return x.unflatten(-1, (len(self.tensors[f"{layer}.sink"]), -1)).transpose(2, 3)
