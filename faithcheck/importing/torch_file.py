"""Files of `torch.save`, read without executing what a pickle says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from faithcheck.errors import UserError

STARTS = (b"PK\x03\x04", b"\x80")
"""The first bytes of what `torch.save` writes now, a zip, and wrote before 1.6, a bare pickle."""


def load_torch(path: Path) -> dict[str, Any]:
    """A saved dict of tensors and plain data. Raises UserError for anything else; objects are never made from it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickle protocols that are none: the error says enough
            data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file from outside can break the unpickler in any way
        raise UserError(
            "torch cannot read it as tensors and plain data: it is damaged, or holds Python objects, which are never "
            f"loaded ({type(error).__name__}); save it as a dict of tensors"
        ) from None
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise UserError(f"found a {type(data).__name__}, allowed: a dict with names as keys")
    return data
