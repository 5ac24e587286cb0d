"""training_config.yaml, which sparse_pretrain writes beside config.json: where the two speak of different models."""

from __future__ import annotations

import warnings
from pathlib import Path

from faithcheck.errors import UserError
from faithcheck.marked_yaml import load
from faithcheck_circuits.published.settings import SparsitySection

FILE = "training_config.yaml"
_FIELD = "activation_sparsity_locations"


def warn_of_other_places(folder: Path, sparsity: SparsitySection) -> None:
    """Warn where config.json leaves out the places of activation top-k and the model was trained with others than the
    default ones.

    sparse_pretrain's uploads write a config.json without them, and its loaders then take the default.
    """
    if not sparsity.enable_activation_sparsity or _FIELD in sparsity.model_fields_set:
        return
    trained = _places(folder / FILE)
    if trained is not None and set(trained.split(",")) != set(sparsity.places):
        warnings.warn(
            f"{folder / 'config.json'} leaves out sparsity_config.{_FIELD}, so the default is taken, as "
            f"sparse_pretrain does, but {FILE} says {trained!r}; to run the model as it was trained, write that into "
            "config.json",
            stacklevel=2,
        )


def _places(path: Path) -> str | None:
    """What the file says, None where it is not there or says nothing of the kind."""
    try:
        sparsity = load(path).data.get("sparsity")
    except UserError:
        return None
    places = sparsity.get(_FIELD) if isinstance(sparsity, dict) else None
    return places if isinstance(places, str) else None
