"""Files of `torch.save`, read without executing what a pickle says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faithcheck.errors import UserError
from faithcheck.tensor_file import load_without_code

STARTS = (b"PK\x03\x04", b"\x80")
"""The first bytes of what `torch.save` writes now, a zip, and wrote before 1.6, a bare pickle."""


def load_torch(path: Path) -> dict[str, Any]:
    """A saved dict of tensors and plain data. Raises UserError for anything else; objects are never made from it."""
    try:
        data = load_without_code(path)
    except Exception as error:  # a file from outside can break the unpickler in any way
        raise UserError(
            "torch cannot read it as tensors and plain data: it is damaged, or holds Python objects, which are never "
            f"loaded ({type(error).__name__}); save it as a dict of tensors"
        ) from None
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise UserError(f"found a {type(data).__name__}, allowed: a dict with names as keys")
    odd = next((key for key, value in data.items() if isinstance(value, Tensor) and not _is_plain(value)), None)
    if odd is not None:
        raise UserError(
            f"{odd!r} is a tensor without values of its own, or sparse, or quantized; save it as a dense one"
        )
    return data


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not (tensor.is_meta or tensor.is_quantized or tensor.is_nested)
