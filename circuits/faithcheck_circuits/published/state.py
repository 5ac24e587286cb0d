"""The weights of a checkpoint folder: a state dict, read without executing anything."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from faithcheck.errors import Location, UserError, first_line
from faithcheck.tensor_file import load_without_code

FILES = ("model.safetensors", "pytorch_model.bin", "sparse_model.bin")
"""In the order of preference; the last is the sparse model of a bridge checkpoint, beside its bridges."""


def read_state(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """The file that was read, and its tensors by name, on the CPU.

    Raises UserError where there is none, it is damaged, or it holds anything but tensors.
    """
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        raise UserError(f"has no weights: none of {', '.join(FILES)} is there", Location(str(folder)))
    found = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    if not isinstance(found, dict):
        raise UserError(f"holds {type(found).__name__}, expected tensors by name", Location(str(path)))
    for name, value in found.items():
        if not (isinstance(name, str) and isinstance(value, Tensor)):
            raise UserError(f"{name!r} is {type(value).__name__}, expected tensors by name", Location(str(path)))
    return path, {name: value.detach() for name, value in found.items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path, device="cpu")
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot be read as safetensors: {error}", Location(str(path))) from None


def _torch(path: Path) -> Any:
    try:
        return load_without_code(path)
    except pickle.UnpicklingError:
        raise UserError(
            "is damaged, or a pickle of more than tensors, which is never executed; save the state dict alone, as "
            f"{FILES[0]} or with torch.save",
            Location(str(path)),
        ) from None
    except Exception as error:  # torch raises whatever a damaged archive leads to
        raise UserError(f"is damaged and cannot be read: {first_line(error)}", Location(str(path))) from None
