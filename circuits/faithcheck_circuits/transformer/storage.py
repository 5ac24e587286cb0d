"""Saving a weight-sparse transformer: one safetensors file, each sparse matrix as its nonzero entries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from faithcheck.errors import Location, UserError
from faithcheck.tensor_file import save_tensors
from faithcheck_circuits.transformer.config import Config

FORMAT = "faithcheck.transformer/1"


@dataclass(frozen=True)
class Checkpoint:
    name: str
    config: Config
    tensors: Mapping[str, Tensor]
    vocabulary: Sequence[str]
    sample_text: Sequence[str]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path`. A matrix of which more than half is zero is stored as `.index` (int32, flat) and `.value`."""
    stored: dict[str, Tensor] = {}
    for name, tensor in checkpoint.tensors.items():
        flat = tensor.detach().cpu().flatten()
        index = flat.nonzero().flatten()
        if tensor.dim() == 2 and 2 * len(index) < len(flat):
            stored[f"{name}.index"], stored[f"{name}.value"] = index.to(torch.int32), flat[index]
        else:
            stored[name] = tensor
    about = {
        "format": FORMAT,
        "name": checkpoint.name,
        "config": checkpoint.config.model_dump_json(),
        "vocabulary": json.dumps(list(checkpoint.vocabulary)),
        "sample_text": json.dumps(list(checkpoint.sample_text)),
    }
    save_tensors(path, stored, about)


def load(path: Path) -> Checkpoint:
    """Read what `save` wrote.

    Raises UserError naming the file where it is missing, is no such file, or has a missing, extra or mis-shaped tensor.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read the model: {error}", Location(str(path))) from error
    if about.get("format") != FORMAT:
        raise UserError(f"not a model of format {FORMAT}", Location(str(path)))
    try:
        config = Config.model_validate_json(about["config"])
        name, vocabulary, sample = about["name"], json.loads(about["vocabulary"]), json.loads(about["sample_text"])
        if len(vocabulary) != config.vocabulary:
            raise ValueError(f"{len(vocabulary)} words for a vocabulary of {config.vocabulary}")
    except (KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the model's metadata is damaged: {reason}", Location(str(path))) from None
    tensors = {name: _dense(stored, name, shape, path) for name, shape in config.shapes().items()}
    if stored:
        raise UserError(f"unknown tensor {sorted(stored)[0]!r}", Location(str(path)))
    return Checkpoint(name, config, tensors, vocabulary, sample)


def _dense(stored: dict[str, Tensor], name: str, shape: tuple[int, ...], path: Path) -> Tensor:
    """The tensor `name`, taken out of `stored`."""
    if f"{name}.index" in stored and f"{name}.value" in stored:
        index, value = stored.pop(f"{name}.index").long(), stored.pop(f"{name}.value")
        if len(index) != len(value) or (len(index) and not 0 <= int(index.min()) <= int(index.max()) < prod(shape)):
            raise UserError(f"tensor {name!r} has entries outside its shape {list(shape)}", Location(str(path)))
        return torch.zeros(prod(shape), dtype=value.dtype).index_put((index,), value).view(shape)
    if name not in stored:
        raise UserError(f"tensor {name!r} is missing", Location(str(path)))
    tensor = stored.pop(name)
    if tuple(tensor.shape) != shape:
        raise UserError(f"tensor {name!r} has shape {list(tensor.shape)}, not {list(shape)}", Location(str(path)))
    return tensor
