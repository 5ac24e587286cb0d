"""Any model that TransformerLens has hook points for, as a `faithcheck.model.Model`: `lens:NAME_OR_DIR`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faithcheck_circuits.lens.model import LensModel


def load(name_or_dir: str, device: str = "cpu") -> LensModel:
    """A transformer by its Hugging Face name or saved directory, run through TransformerLens's hook points.

    Raises UserError where the extra `lens` is not installed, where there is no such model, or where this protocol
    cannot run it faithfully.
    """
    from faithcheck_circuits.lens.loading import load_lens_model

    return load_lens_model(name_or_dir, device)
