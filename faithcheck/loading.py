"""Models by reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from faithcheck import plugins
from faithcheck.errors import UserError

if TYPE_CHECKING:
    from faithcheck.model import Model


def load_model(ref: str, device: str = "cpu") -> Model:
    """The model that `NAME`, `PACKAGE/NAME`, `path/to/file.py:Attr` or `LOADER:PATH` stands for, on a device.

    What a name or attribute stands for is called with `device=`, a loader with the path first.
    Raises UserError for an unknown reference, or where the model cannot be loaded.
    """
    loader, colon, path = ref.partition(":")
    if colon and ".py:" not in ref:
        factory = plugins.load("models", loader)
        return cast("Model", factory(path, device=device))  # type: ignore[operator]
    return cast("Model", plugins.load("models", ref)(device=device))  # type: ignore[operator]


def resolve_device(name: str) -> str:
    """`auto` is the GPU where there is one. Raises UserError for cuda without a GPU."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no GPU that torch can use; take --device cpu")
    return name
