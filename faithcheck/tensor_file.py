"""Writing safetensors files whose bytes depend on their content only, and reading files of `torch.save` safely."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors and metadata. safetensors itself writes metadata in an order that changes from run to run."""
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = save(own, dict(metadata or {}))
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    about = header.pop("__metadata__", {})
    text = json.dumps({"__metadata__": dict(sorted(about.items())), **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def load_without_code(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU; a pickle of more than tensors and plain data is never executed.

    Raises pickle.UnpicklingError for that, and whatever a damaged file leads torch to.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of pickle protocols that are none: the error says enough
        return torch.load(path, map_location="cpu", weights_only=True)
