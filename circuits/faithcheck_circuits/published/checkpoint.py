"""A folder of the sparse_pretrain format as a model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from faithcheck.errors import Location, UserError
from faithcheck_circuits.plain.config import PlainConfig
from faithcheck_circuits.plain.model import PlainTransformer
from faithcheck_circuits.published.naming import renamed
from faithcheck_circuits.published.settings import Settings, read_settings
from faithcheck_circuits.published.state import read_state
from faithcheck_circuits.published.tensors import checked
from faithcheck_circuits.published.tokenizer import read_tokenizer
from faithcheck_circuits.published.training_config import warn_of_other_places
from faithcheck_circuits.transformer.model import SparseTransformer

LAYER_NORM_EPS = 1e-5
"""What torch.nn.LayerNorm takes where no eps is given. torch.nn.RMSNorm takes the dtype's epsilon."""


def load(folder: Path, device: str) -> SparseTransformer | PlainTransformer:
    """The model that the folder holds, in float32: as the weight-sparse transformer where that computes the same.

    Raises UserError for what is missing, is not of the format or cannot be read.
    """
    if not folder.is_dir():
        raise UserError("no such folder; sparse_pretrain:DIR takes the folder of a checkpoint", Location(str(folder)))
    config, tensors = config_and_tensors(folder)
    placed = {name: tensor.to(device) for name, tensor in tensors.items()}
    name, tokenizer = f"sparse_pretrain:{folder.resolve().name}", read_tokenizer(folder, config.vocabulary)
    sparse = config.as_sparse()
    if sparse is None:
        return PlainTransformer(name, config, placed, tokenizer)
    return SparseTransformer(name, sparse, placed, tokenizer)


def config_and_tensors(folder: Path) -> tuple[PlainConfig, dict[str, Tensor]]:
    """The model's form and its tensors as the form names them, on the CPU."""
    settings = read_settings(folder)
    config = _config(settings)
    warn_of_other_places(folder, settings.sparsity)
    file, state = read_state(folder)
    return config, renamed(settings.model, config, checked(settings.model, state, file))


def _config(settings: Settings) -> PlainConfig:
    model = settings.model
    return PlainConfig(
        vocabulary=model.vocab_size,
        d_model=model.d_model,
        d_head=model.d_head,
        d_mlp=model.mlp,
        layers=model.n_layer,
        bigram=model.use_bigram_table,
        norm="rms" if model.use_rms_norm else "layer",
        norm_eps=torch.finfo(torch.float32).eps if model.use_rms_norm else LAYER_NORM_EPS,
        activation=model.activation,
        context=model.n_ctx if model.use_positional_embeddings else None,
        activation_topk=settings.sparsity.share,
        topk_at=settings.sparsity.places,
    )
