"""Models by reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from faithcheck import plugins
from faithcheck.errors import UserError
from faithcheck.plain_errors import plain_errors
from faithcheck.run_names import missing_parts

if TYPE_CHECKING:
    from faithcheck.model import Model


def load_model(ref: str, device: str = "cpu", near: Path | None = None) -> Model:
    """The model that `NAME`, `PACKAGE/NAME`, `path/to/file.py:Attr` or `LOADER:PATH` stands for, on a device.

    What a name or attribute stands for is called with `device=`, a loader with the path first. A plugin's file is
    looked for in the folder `near` first.
    Raises UserError for an unknown reference or a file that cannot be read, BrokenPlugin where the plugin raises or
    gives something that lacks a part of a model.
    """
    loader, path = _split(ref)
    model = _call(plugins.load("models", loader, near), ref, loader, path, device)
    missing = missing_parts(model)
    if missing:
        raise plugins.BrokenPlugin(ref, loader, f"what it gives is no model: it lacks {', '.join(missing)}")
    return cast("Model", model)


def _call(factory: Any, ref: str, loader: str, path: str | None, device: str) -> object:
    try:
        with plain_errors():
            return factory(device=device) if path is None else factory(path, device=device)
    except UserError:
        raise
    except TypeError as error:
        if path is None:
            hint = "" if ".py:" in ref else f" ({ref}:PATH)"
            raise UserError(f"model {ref!r} is a loader that needs a file{hint}, or no model: {error}") from error
        raise plugins.BrokenPlugin(ref, loader, plugins.one_line(error)) from error
    except Exception as error:
        raise plugins.BrokenPlugin(ref, loader, plugins.one_line(error)) from error


def find_model(ref: str) -> None:
    """Raises UserError where no model or loader of that name is known; imports none. Files are not looked at."""
    loader, _ = _split(ref)
    if ".py" not in loader:
        plugins.find("models", loader)


def _split(ref: str) -> tuple[str, str | None]:
    """(`LOADER`, `PATH`) of `LOADER:PATH`; (the reference, None) of others."""
    loader, colon, path = ref.partition(":")
    if not colon or ".py:" in ref:
        return ref, None
    return loader, path


def resolve_device(name: str) -> str:
    """`auto` is the GPU where there is one. Raises UserError for cuda without a GPU."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no GPU that torch can use; take --device cpu")
    return name
