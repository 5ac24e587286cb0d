"""From a checkpoint to a model that is proved to run through its hook points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from faithcheck.errors import UserError, first_line
from faithcheck.model import HEADED, Site, Tokenizer
from faithcheck_circuits.lens.levers import Recorder, Rows, hooked
from faithcheck_circuits.lens.model import LensModel
from faithcheck_circuits.lens.points import SITE_POINTS, Points
from faithcheck_circuits.lens.proof import prove
from faithcheck_circuits.lens.source import Source

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_PROBE = 6
"""Tokens of the two prompts on which a model's hook points are tried out."""


def build(source: Source, tokenizer: Tokenizer) -> LensModel:
    """Put the hook points in, find the sites, and try them out.

    Raises UserError for an architecture that TransformerLens or this protocol has no place for, and for one whose hook
    points do not do what the protocol says.
    """
    _refuse(source)
    try:
        return _built(source, tokenizer)
    except UserError:
        raise
    except Exception as error:  # a layout that nothing here foresees: it is not run, and is not a crash
        cannot = "cannot be run through TransformerLens's hook points"
        raise UserError(f"{source.name} ({source.architecture}) {cannot}: {first_line(error)}") from error


def _built(source: Source, tokenizer: Tokenizer) -> LensModel:
    probe = _probe(source)
    with torch.no_grad():
        expected = source.network(input_ids=probe, use_cache=False).logits
    model, points = _with_points(source, tokenizer)
    prove(model, points, probe, expected)
    return model


def rebuild(source: Source, tokenizer: Tokenizer) -> LensModel:
    """As `build`, for other weights of an architecture that was tried out: what the trial finds must not depend on
    weights, and with some it cannot be seen, as where all that a soft cap lets through is the cap."""
    return _with_points(source, tokenizer)[0]


def _with_points(source: Source, tokenizer: Tokenizer) -> tuple[LensModel, Points]:
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    bridge = build_bridge_from_module(
        source.network, source.architecture, hf_config=source.config, model_name=source.name
    ).eval()
    for module in bridge.modules():  # it makes parameters of its own where queries, keys and values are one matrix
        module.requires_grad_(False)
    points = Points(bridge, source.name)
    return LensModel(source, bridge, points, _sites(bridge, points, _probe(source)), tokenizer), points


def _refuse(source: Source) -> None:
    config = source.config
    experts = [key for key in _EXPERTS if (getattr(config, key, None) or 0) > 1]
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(f"{source.name} is an encoder-decoder ({source.architecture}); lens: runs decoders only")
    if experts:
        raise UserError(
            f"{source.name} is a mixture of experts ({source.architecture}, {experts[0]}: "
            f"{getattr(config, experts[0])}): which neurons there are depends on the token, so they are no nodes"
        )


def _probe(source: Source) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    width = min(_PROBE, source.context)
    return torch.randint(source.vocabulary, (2, width), generator=generator).to(source.device)


def _sites(bridge: Any, points: Points, probe: torch.Tensor) -> Mapping[str, Site]:
    """Every site with its size as a run has it, in order of execution."""
    recorder = Recorder(Rows(1, len(probe)))
    hooks = [(point, recorder.raw(name)) for name, point in points.sites.items()]
    with torch.no_grad(), hooked(hooks):
        bridge(probe, return_type="logits", use_cache=False)
    missing = [name for name in points.sites if name not in recorder.captured]
    if missing:
        raise UserError(f"{bridge.cfg.model_name}: TransformerLens's hook point of {missing[0]} never runs")
    return {
        f"{layer}.{kind}": _site(recorder.captured[f"{layer}.{kind}"], layer, kind, bridge.cfg)
        for layer in points.layers
        for kind in SITE_POINTS
    }


def _site(value: torch.Tensor, layer: int, kind: str, config: Any) -> Site:
    size, head = value.flatten(2).shape[-1], None
    if kind in HEADED:
        grouped = kind != "attn_q" and getattr(config, "n_key_value_heads", None)
        heads = int(grouped or config.n_heads)
        head = torch.arange(size, device=value.device) // (size // heads)
    return Site(size, layer, kind, head)
