"""A checkpoint: an architecture, its weights and what they are identified by, before any hook point is put in."""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from faithcheck_circuits.transformer.weights import permuted

_NOT_THE_MODEL = ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype")
"""Entries of a configuration that say where it came from, not what is computed."""


@dataclass(frozen=True)
class Source:
    """`network`: a `transformers` causal language model on its device, in eval mode, without gradients.

    TransformerLens puts its hook points into the network in place, so `tensors` (the parameters, a tied one under
    each of its names) and `fingerprint` are taken first.
    """

    name: str
    network: Any
    tensors: dict[str, Tensor]
    fingerprint: str

    @classmethod
    def of(cls, name: str, network: Any) -> Source:
        network.eval().requires_grad_(False)
        tensors = {key: tensor.detach() for key, tensor in network.named_parameters(remove_duplicate=False)}
        return cls(name, network, tensors, _fingerprint(network))

    @property
    def architecture(self) -> str:
        return type(self.network).__name__

    @property
    def config(self) -> Any:
        return self.network.config

    @property
    def device(self) -> torch.device:
        return next(iter(self.tensors.values())).device

    @property
    def dtype(self) -> torch.dtype:
        return next(iter(self.tensors.values())).dtype

    @property
    def vocabulary(self) -> int:
        """How many tokens have an embedding."""
        return int(self.network.get_input_embeddings().weight.shape[0])

    @cached_property
    def context(self) -> int:
        """The most tokens that a prompt may have."""
        return int(getattr(self.config.get_text_config(), "max_position_embeddings", None) or sys.maxsize)

    def shuffled(self, seed: int) -> Source:
        """Every tensor's values permuted within it, in an order that the seed, its first name and its size decide."""
        network = type(self.network)(copy.deepcopy(self.config)).to(device=self.device, dtype=self.dtype)
        first_names: dict[int, str] = {}
        shuffled = {
            name: permuted(tensor, f"{seed}/{first_names.setdefault(tensor.data_ptr(), name)}")
            for name, tensor in self.tensors.items()
        }
        network.load_state_dict(shuffled, strict=False)
        return Source.of(f"{self.name}, weights shuffled by seed {seed}", network)


def _fingerprint(network: Any) -> str:
    """SHA-256 over the configuration (what differs from the architecture's defaults) and every parameter."""
    described = {key: value for key, value in network.config.to_diff_dict().items() if key not in _NOT_THE_MODEL}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    for name, tensor in sorted(network.named_parameters(), key=lambda item: item[0]):
        digest.update(name.encode())
        unsigned_zeros = tensor.detach().cpu().contiguous() + 0.0
        digest.update(unsigned_zeros.numpy().data)
    return digest.hexdigest()
