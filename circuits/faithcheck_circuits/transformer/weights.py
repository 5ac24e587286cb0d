"""What can be said of a transformer's tensors by name, whatever computes with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from faithcheck_circuits.transformer.config import SOURCE, Config

ByName = Mapping[str, Tensor]


def fingerprint(config: Config, tensors: ByName) -> str:
    """SHA-256 over the config and every tensor."""
    digest = hashlib.sha256(config.model_dump_json().encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        unsigned_zeros = tensors[name].detach().cpu().contiguous() + 0.0
        digest.update(unsigned_zeros.numpy().tobytes())
    return digest.hexdigest()


def permuted(tensor: Tensor, salt: str) -> Tensor:
    """The tensor's values in an order drawn by the salt."""
    seed = int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8], "big")
    order = torch.randperm(tensor.numel(), generator=torch.Generator().manual_seed(seed))
    return tensor.detach().flatten()[order.to(tensor.device)].view(tensor.shape)


def edge_weights(config: Config, tensors: ByName, keep: ByName) -> dict[tuple[str, str], Tensor]:
    """The weights between kept nodes, {(source site, target site): float[target, source]}. keep: {site: bool[node]}."""
    pairs = [
        (f"{layer}.{source}", f"{layer}.{kind}") for layer in range(config.layers) for kind, source in SOURCE.items()
    ]
    return {
        (source, target): tensors[f"{target}.weight"].detach()[keep[target]][:, keep[source]]
        for source, target in pairs
    }


def count_edges(config: Config, tensors: ByName, keep: ByName) -> int:
    """The nonzero weights between two kept nodes. keep: {site: bool[node]}."""
    return sum(int(torch.count_nonzero(weight)) for weight in edge_weights(config, tensors, keep).values())
