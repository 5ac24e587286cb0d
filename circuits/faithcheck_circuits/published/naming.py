"""The tensors of a sparse_pretrain state dict under the names that the transformers here have for them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from faithcheck_circuits.plain.config import NO_SINK, PlainConfig
from faithcheck_circuits.published.settings import ModelSection

ByName = Mapping[str, Tensor]
_MATRICES = {"attn_out": "attn.c_proj", "mlp_neuron": "mlp.c_fc", "mlp_out": "mlp.c_proj"}
"""By the site kind that each matrix writes."""


def renamed(model: ModelSection, config: PlainConfig, state: ByName) -> dict[str, Tensor]:
    """What `config.shapes()` names. A bias that is not there is 0; a sink that is not there, or not attended to, has a
    logit that gives it nothing."""
    tensors = {"embed": state["wte.weight"], "unembed": state["lm_head.weight"]}
    if config.context is not None:
        tensors["position"] = state["wpe.weight"]
    if config.bigram:
        tensors["bigram"] = state["bigram_table"]
    for norm in config.norms():
        theirs = norm if norm == "ln_f" else f"blocks.{norm}"
        tensors[f"{norm}.gain"] = state[f"{theirs}.weight"]
        if config.norm == "layer":
            tensors[f"{norm}.bias"] = _bias(state, theirs, config.d_model)
    for layer in range(config.layers):
        tensors |= {f"{layer}.{name}": value for name, value in _block(model, config, state, layer).items()}
    return tensors


def _block(model: ModelSection, config: PlainConfig, state: ByName, layer: int) -> dict[str, Tensor]:
    block = f"blocks.{layer}"
    tensors = {f"{kind}.weight": state[f"{block}.{name}.weight"] for kind, name in _MATRICES.items()}
    tensors |= {f"{kind}.bias": _bias(state, f"{block}.{name}", config.size(kind)) for kind, name in _MATRICES.items()}
    stacked = state[f"{block}.attn.c_attn.weight"], _bias(state, f"{block}.attn.c_attn", 3 * config.d_model)
    for part, whole in zip(("weight", "bias"), stacked, strict=True):
        tensors |= {f"attn_{s}.{part}": third.clone() for s, third in zip("qkv", whole.chunk(3), strict=True)}
    sink = state[f"{block}.attn.attn_fn.sink_logit"] if model.attends_to_sinks else None
    tensors["sink"] = torch.full((config.heads,), NO_SINK) if sink is None else sink
    return tensors


def _bias(state: ByName, name: str, size: int) -> Tensor:
    return state.get(f"{name}.bias", torch.zeros(size))
