"""sparse_pretrain's `masks.pt`: {"layer{i}_{location}": tau}, where a node is kept if its tau is at least 0.

Its locations are those of Gao et al. 2025, appendix A.5, and have the names of our site kinds. A location without masks
is left as it is by that code, so all of its nodes are kept. `binary_masks.pt` of the same code holds 0 and 1 instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from faithcheck.errors import UserError, did_you_mean
from faithcheck.model import Model

NAME = "sparse_pretrain masks"
TOKENS = "token_embed"
"""A mask over the vocabulary, which that code can train as well."""
_KEY = re.compile(r"layer(0|[1-9][0-9]*)_(\w+)")


def is_one(data: Mapping[str, Any]) -> bool:
    return any(_KEY.fullmatch(key) for key in data)


def keep(data: Mapping[str, Any], model: Model) -> dict[str, Tensor]:
    """{site: bool[node]} of every site. Raises UserError naming the key that is no mask of the model's."""
    masks = {key: _row(key, value) for key, value in data.items()}
    _check_tokens(masks.pop(TOKENS, None))
    above = 0.5 if _are_binary(masks) else 0.0
    kept = {name: torch.ones(site.size, dtype=torch.bool) for name, site in model.sites.items()}
    for key, tau in masks.items():
        name = _site(key, model)
        if len(tau) != len(kept[name]):
            raise UserError(f"{key!r} has {len(tau)} nodes, {name} of {model.name} has {len(kept[name])}")
        kept[name] = tau >= above
    _check_complete(masks, model)
    return kept


def _row(key: str, value: Any) -> Tensor:
    """A mask as float64[node]."""
    if not isinstance(value, Tensor) or value.dim() != 1 or value.is_complex():
        shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise UserError(f"{key!r} is {shape}, allowed: one number a node")
    row = value.detach().double()
    if row.isnan().any():
        raise UserError(f"{key!r} holds NaN at node {int(row.isnan().nonzero()[0])}")
    return row


def _are_binary(masks: Mapping[str, Tensor]) -> bool:
    """Whether these are masks already. Taus are never all 0 or 1, but where all are kept by either reading.

    Raises UserError where some are taus and another could be either, with nodes at 0 whose reading decides.
    """
    binary = [key for key, row in masks.items() if ((row == 0) | (row == 1)).all()]
    if len(binary) == len(masks):
        return True
    doubtful = next((key for key in binary if (masks[key] == 0).any()), None)
    if doubtful is not None:
        tau = next(key for key in masks if key not in binary)
        raise UserError(f"{doubtful!r} holds 0 and 1 alone, as masks do, but {tau!r} holds taus: save one or the other")
    return False


def _check_tokens(row: Tensor | None) -> None:
    above = 0.5 if row is not None and _are_binary({TOKENS: row}) else 0.0
    if row is not None and (row < above).any():
        raise UserError(
            f"{TOKENS!r} masks {int((row < above).sum())} tokens, but embeddings are no nodes here and cannot be "
            f"ablated; to test the rest of the circuit with all tokens, save the file without {TOKENS!r}"
        )


def _site(key: str, model: Model) -> str:
    match = _KEY.fullmatch(key)
    if not match:
        raise UserError(f"unknown entry {key!r}; allowed: layer0_attn_in and the like, and {TOKENS}")
    layer, location = int(match[1]), match[2]
    names = {(site.layer, site.kind): name for name, site in model.sites.items()}
    if layer not in {at for at, _ in names}:
        raise UserError(f"{key!r}: {model.name} has the layers {', '.join(str(at) for at in _layers(model))}")
    if (layer, location) not in names:
        known = [kind for at, kind in names if at == layer]
        raise UserError(
            f"{key!r}: unknown location {location!r}; known: {', '.join(known)}{did_you_mean(location, known)}"
        )
    return names[layer, location]


def _check_complete(masks: Mapping[str, Tensor], model: Model) -> None:
    """A location that is masked at all is masked in every layer."""
    locations = {_KEY.fullmatch(key)[2]: None for key in masks}  # type: ignore[index]
    for location in locations:
        for layer in _layers(model):
            if f"layer{layer}_{location}" not in masks:
                raise UserError(
                    f"no 'layer{layer}_{location}', though other layers have it: these are masks of a model with other "
                    f"layers than {model.name}, or the file is incomplete"
                )


def _layers(model: Model) -> list[int]:
    return sorted({site.layer for site in model.sites.values()})
