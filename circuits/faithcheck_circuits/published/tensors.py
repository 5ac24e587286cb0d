"""The tensors of a sparse_pretrain state dict: which there must be, and what they are to the transformers here.

Names and shapes are those of `SparseGPT` in sparse_pretrain's src/model.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from faithcheck.errors import Location, UserError
from faithcheck_circuits.published.settings import ModelSection

Shape = tuple[int, ...]
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
TIED = ("wte.weight", "lm_head.weight")
_NORM_BIASES = ("ln_1.bias", "ln_2.bias", "ln_f.bias")
_CAUSAL_MASK = re.compile(r"blocks\.\d+\.attn\.causal_mask")
_UNUSED_SINKS = (
    "only models with use_flash_attention false write it, and these attend without sinks: config.json is to say"
)


def checked(model: ModelSection, state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The state dict with exactly the tensors that config.json promises, in float32.

    Of tied embeddings one may be left out, of a model without biases those of LayerNorm; causal masks are dropped.
    Raises UserError naming a tensor that is missing, unexpected, of another shape or dtype, or not finite.
    """
    left = {name: value for name, value in state.items() if not _is_dropped(name, model)}
    if model.tie_embeddings:
        left |= {name: left[other] for name, other in (TIED, TIED[::-1]) if name not in left and other in left}
    norm_biases = model.use_bias or any(name.endswith(_NORM_BIASES) for name in left)
    found = {name: _taken(left, name, shape, file) for name, shape in _expected(model, norm_biases)}
    if left:
        name = min(left)
        hint = f"; {_UNUSED_SINKS}" if _CAUSAL_MASK.fullmatch(name) else ""
        raise UserError(f"unexpected tensor {name!r}: config.json promises none{hint}", Location(str(file)))
    if model.tie_embeddings and not torch.equal(*(found[name] for name in TIED)):
        raise UserError(f"{' and '.join(TIED)} differ, but config.json ties them", Location(str(file)))
    return found


def _is_dropped(name: str, model: ModelSection) -> bool:
    return _CAUSAL_MASK.fullmatch(name) is not None and not model.attends_to_sinks


def _taken(left: dict[str, Tensor], name: str, shape: Shape, file: Path) -> Tensor:
    """The tensor `name`, taken out of `left`."""
    place = Location(str(file))
    if name not in left:
        like = next((f"; there is {other!r}" for other in left if other.endswith(f".{name}")), "")
        raise UserError(f"tensor {name!r} is missing; config.json promises one of shape {list(shape)}{like}", place)
    tensor = left.pop(name)
    if tensor.layout != torch.strided or tensor.dtype not in FLOATS or tensor.is_meta:
        raise UserError(f"tensor {name!r} is {_kind(tensor)}, expected floating-point numbers", place)
    if tuple(tensor.shape) != shape:
        raise UserError(f"tensor {name!r} has shape {list(tensor.shape)}, expected {list(shape)}", place)
    value = tensor.to(torch.float32)
    if not bool(value.isfinite().all()):
        raise UserError(f"tensor {name!r} has values that are not finite in float32", place)
    return value


def _kind(tensor: Tensor) -> str:
    if tensor.is_meta:
        return "without values (meta)"
    return " ".join(str(part).removeprefix("torch.") for part in (tensor.layout, tensor.dtype) if part != torch.strided)


def _expected(model: ModelSection, norm_biases: bool) -> Iterator[tuple[str, Shape]]:
    """Names and shapes, one at a time: a config may promise any number of layers."""
    yield TIED[0], (model.vocab_size, model.d_model)
    if model.use_positional_embeddings:
        yield "wpe.weight", (model.n_ctx, model.d_model)
    for layer in range(model.n_layer):
        yield from _of_block(model, f"blocks.{layer}", norm_biases)
    yield from _of_norm(model, "ln_f", norm_biases)
    yield TIED[1], (model.vocab_size, model.d_model)
    if model.use_bigram_table:
        yield "bigram_table", (model.vocab_size, model.vocab_size)


def _of_block(model: ModelSection, block: str, norm_biases: bool) -> Iterator[tuple[str, Shape]]:
    yield from _of_norm(model, f"{block}.ln_1", norm_biases)
    yield from _of_norm(model, f"{block}.ln_2", norm_biases)
    if model.use_attention_sinks:
        yield f"{block}.attn.attn_fn.sink_logit", (model.heads,)
    for name, shape in (
        ("attn.c_attn", (3 * model.d_model, model.d_model)),
        ("attn.c_proj", (model.d_model, model.d_model)),
        ("mlp.c_fc", (model.mlp, model.d_model)),
        ("mlp.c_proj", (model.d_model, model.mlp)),
    ):
        yield f"{block}.{name}.weight", shape
        if model.use_bias:
            yield f"{block}.{name}.bias", shape[:1]


def _of_norm(model: ModelSection, norm: str, biases: bool) -> Iterator[tuple[str, Shape]]:
    yield f"{norm}.weight", (model.d_model,)
    if biases and not model.use_rms_norm:
        yield f"{norm}.bias", (model.d_model,)
