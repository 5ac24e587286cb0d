"""The network of a checkpoint, and what of the checkpoint would make it another one than was published."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from faithcheck.errors import UserError, first_line

_NAMED = 3
"""Weights that an error names."""
_FLOATS = ("F16", "BF16", "F32", "F64")
_CONSTANTS = re.compile(r"\.(attn|attention)\.(masked_)?bias$|\.rotary_emb\.inv_freq$")
"""Causal masks, the number they masked with and rotary frequencies, which earlier versions of `transformers` saved."""


def network_of(place: str, label: str, is_local: bool) -> Any:
    """The causal language model in a directory or of a name, in float32, with all of its weights and no others.

    Raises UserError where there is none, and naming what is quantised, missing, unexpected, of another shape, of
    another kind of number, not finite, or tied but different.
    """
    _refuse_quantised(place, label, is_local)
    network, report = _loaded(place, label, is_local)
    unexpected = [name for name in report["unexpected_keys"] if not _CONSTANTS.search(name)]
    not_finite = (name for name, tensor in network.named_parameters() if not tensor.isfinite().all())
    for fault, found in (
        ("lacks weights of the model", report["missing_keys"]),
        ("has weights of another shape", map(_shapes, report["mismatched_keys"])),
        ("has weights that the model of its config.json has no place for", unexpected),
        ("has weights that are no floating-point numbers", _no_floats(place)),
        ("has weights that are not finite", not_finite),
    ):
        if names := sorted(found):
            shown = ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")
            raise UserError(f"{label}: the checkpoint {fault} ({len(names)}): {shown}")
    _refuse_untied(network, label)
    return network


def _refuse_quantised(place: str, label: str, is_local: bool) -> None:
    quantised = _config(place, label, is_local).get("quantization_config")
    if quantised:
        method = quantised.get("quant_method", "of no name") if isinstance(quantised, Mapping) else quantised
        raise UserError(f"{label}: its weights are quantised ({method}), and are not read; save them as float numbers")


def _config(place: str, label: str, is_local: bool) -> Mapping[str, Any]:
    from transformers import PretrainedConfig

    try:
        found, _ = PretrainedConfig.get_config_dict(place, local_files_only=is_local)
    except Exception as error:
        raise UserError(_why(error, label, is_local)) from error
    return found if isinstance(found, Mapping) else {}


def _loaded(place: str, label: str, is_local: bool) -> tuple[Any, Mapping[str, Any]]:
    """The network, and what `transformers` says of weights that it did not load."""
    from transformers import AutoModelForCausalLM

    try:
        network, report = AutoModelForCausalLM.from_pretrained(
            place,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=is_local,
            attn_implementation="eager",
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as error:
        raise UserError(_why(error, label, is_local)) from error
    return network, report


def _shapes(mismatched: tuple[str, Collection[int], Collection[int]]) -> str:
    name, found, expected = mismatched
    return f"{name} {[*found]}, expected {[*expected]}"


def _no_floats(place: str) -> Iterator[str]:
    """Weights that would be taken for what they are not: 8-bit codes, say, without the factors that belong to them."""
    for path in _files(place):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                kind = file.get_slice(name).get_dtype()
                if kind not in _FLOATS and not _CONSTANTS.search(name):
                    yield f"{name} ({kind})"


def _files(place: str) -> list[Path]:
    """The checkpoint's files of weights; none where the hub keeps them under another revision."""
    from transformers.utils import cached_file
    from transformers.utils.hub import get_checkpoint_shard_files

    kept = {"local_files_only": True, "_raise_exceptions_for_missing_entries": False}
    whole = cached_file(place, "model.safetensors", **kept)
    index = None if whole else cached_file(place, "model.safetensors.index.json", **kept)
    if index:
        shards, _ = get_checkpoint_shard_files(place, index, local_files_only=True)
        return [Path(shard) for shard in shards]
    return [Path(whole)] if whole else []


def _refuse_untied(network: Any, label: str) -> None:
    head = network.get_output_embeddings()
    ties = getattr(network.config, "tie_word_embeddings", False) and head is not None
    if ties and not torch.equal(head.weight, network.get_input_embeddings().weight):
        raise UserError(f"{label}: its config.json ties embedding and unembedding, but the checkpoint's differ")


def _why(error: Exception, label: str, is_local: bool) -> str:
    reason = first_line(error)
    if reason.endswith(":"):
        reason = " ".join(line.strip() for line in str(error).split("\n")[:2])
    if isinstance(error, KeyError):
        reason = f"{reason} is unknown to transformers"
    if not is_local:
        return f"{label}: no such directory, and not to be had from the Hugging Face hub: {reason}"
    return f"{label}: no causal language model with safetensors weights can be loaded from there: {reason}"
