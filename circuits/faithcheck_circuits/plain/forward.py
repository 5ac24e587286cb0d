"""The forward pass, in tensors float[member, prompt, pos, node], with the intervention at every site and norm.

The member axis is 1 until a lever makes members differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from faithcheck_circuits.plain.config import PlainConfig
from faithcheck_circuits.transformer.topk import largest

ByName = Mapping[str, Tensor]
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}


@dataclass
class Pass:
    """One run: masks, baselines and norm scales as `Model.run` takes them, and what it captures."""

    config: PlainConfig
    tensors: ByName
    masks: ByName
    baselines: ByName
    norm_scales: ByName
    capture: Sequence[str]
    captured: dict[str, Tensor] = field(default_factory=dict)

    def stream(self, tokens: Tensor) -> Tensor:
        """The residual stream after all layers, float[member, prompt, pos, channel], of int[member, prompt, pos]."""
        x = self.tensors["embed"][tokens]
        if self.config.context is not None:
            x = x + self.tensors["position"][: tokens.shape[-1]]
        for layer in range(self.config.layers):
            x = largest(x, self.config.topk("resid_pre"), dim=-1)
            x = x + self._attention(layer, x)
            x = largest(x, self.config.topk("resid_mid"), dim=-1)
            x = x + self._mlp(layer, x)
        return x

    def norm(self, name: str, x: Tensor) -> Tensor:
        """RMSNorm (Zhang and Sennrich 2019) x / s, or LayerNorm (Ba et al. 2016) (x - mean) / s + bias, times the gain.

        The scale is s = sqrt(mean(x^2) + eps), of x - mean in LayerNorm, or what is given: float[member, prompt, pos].
        """
        if self.config.norm == "layer":
            x = x - x.mean(-1, keepdim=True)
        scale = self.norm_scales.get(name)
        if scale is None:
            scale = torch.sqrt(x.square().mean(-1) + self.config.norm_eps)
        else:
            scale = _lead(scale, 3).expand(-1, *x.shape[1:3])
        self._keep(name, scale)
        y = x / scale[..., None] * self.tensors[f"{name}.gain"]
        return y + self.tensors[f"{name}.bias"] if self.config.norm == "layer" else y

    def _attention(self, layer: int, x: Tensor) -> Tensor:
        """Causal attention; the sink is one more key, whose value is 0."""
        source = self._site(layer, "attn_in", self.norm(f"{layer}.ln_1", x))
        heads = (self._linear(layer, f"attn_{s}", source).unflatten(-1, (self.config.heads, -1)) for s in "qkv")
        q, k, v = (part.transpose(-2, -3) for part in heads)
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.config.d_head)
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        sink = self.tensors[f"{layer}.sink"][:, None, None].expand(*scores.shape[:-1], 1)
        pattern = torch.cat([scores.masked_fill(future, -torch.inf), sink], -1).softmax(-1)
        self._keep(f"{layer}.attn_pattern", pattern)
        mixed = (pattern[..., :-1] @ v).transpose(-2, -3).flatten(-2)
        return self._linear(layer, "attn_out", mixed)

    def _mlp(self, layer: int, x: Tensor) -> Tensor:
        source = self._site(layer, "mlp_in", self.norm(f"{layer}.ln_2", x))
        neuron = self._linear(layer, "mlp_neuron", source, _ACTIVATIONS[self.config.activation])
        return self._linear(layer, "mlp_out", neuron)

    def _linear(
        self, layer: int, kind: str, source: Tensor, function: Callable[[Tensor], Tensor] = lambda x: x
    ) -> Tensor:
        """The site that a weight matrix writes."""
        weight, bias = self.tensors[f"{layer}.{kind}.weight"], self.tensors[f"{layer}.{kind}.bias"]
        return self._site(layer, kind, function(F.linear(source, weight, bias)))

    def _site(self, layer: int, kind: str, value: Tensor) -> Tensor:
        """The site's nodes after activation top-k and the intervention x <- m x + (1 - m) b."""
        name, x = f"{layer}.{kind}", largest(value, self.config.topk(kind), dim=-1)
        self._keep(name, x)
        mask, baseline = self.masks.get(name), self.baselines.get(name)
        if mask is None:
            return x
        m = mask[:, None, None] if mask.dim() == 2 else _lead(mask, 4)
        return m * x if baseline is None else m * x + (1 - m) * _lead(baseline, 4)

    def _keep(self, name: str, value: Tensor) -> None:
        if name in self.capture:
            self.captured[name] = value


def _lead(value: Tensor, dims: int) -> Tensor:
    """The value with leading axes of length 1, to `dims` axes."""
    return value[(None,) * (dims - value.dim())]
