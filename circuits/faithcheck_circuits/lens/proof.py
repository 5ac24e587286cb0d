"""Does a model do through its hook points what the protocol says? Asked once, when it is loaded.

TransformerLens has hook points for well over a hundred architectures, not all alike: a hook point may only show a value
that another branch computes, or show it before a factor is applied. What fails here is refused by name; nothing is
run that was not tried out on this very checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faithcheck.errors import UserError
from faithcheck_circuits.lens.levers import Recorder, Rows, hooked
from faithcheck_circuits.lens.points import PATTERN, Points

if TYPE_CHECKING:
    from faithcheck_circuits.lens.model import LensModel

ByName = Mapping[str, Tensor]
ROUNDING = 1e-4
"""Of the largest value: how far two orders of the same float32 sums may be apart."""


def prove(model: LensModel, points: Points, probe: Tensor, expected: Tensor) -> None:
    """probe: int[prompt, pos]; expected: its logits by the plain network.

    Raises UserError naming what does not hold.
    """
    run = model.run(probe, capture=model.norms)
    _same(model, run.logits[0], expected, "the logits with hook points are not the model's")
    masks = _masks(model)
    sites, raw = _masked(model, points, probe, masks)
    for layer in points.layers:
        _attention(model, layer, masks, sites, raw)
    _stream(model, points, masks, sites, raw)
    before = model.run(probe[:, :-1], masks=masks).logits
    _same(model, before, model.run(probe, masks=masks).logits[:, :, :-1], "a token changes the logits before it")
    _levers(model, probe, expected, run.captured)


def _masks(model: LensModel) -> dict[str, Tensor]:
    """Random ones, the same whatever the device."""
    generator = torch.Generator().manual_seed(1)
    return {name: torch.rand(1, site.size, generator=generator).to(model.device) for name, site in model.sites.items()}


def _masked(
    model: LensModel, points: Points, probe: Tensor, masks: ByName
) -> tuple[Mapping[str, Tensor], dict[str, Tensor]]:
    """Sites and patterns under masks, and what the network itself has at hook points of no site."""
    recorder = Recorder(Rows(1, len(probe)))
    wanted = {
        **{f"{norm} out": point for norm, point in points.norm_outputs.items()},
        **{f"{layer} mixed": point for layer, point in points.mixed.items()},
        "first": points.stream[0],
        "last": points.stream[1],
    }
    with torch.no_grad(), hooked([(point, recorder.raw(name)) for name, point in wanted.items()]):
        captured = model.run(probe, masks=masks, capture=[*model.sites, *points.patterns]).captured
    return captured, recorder.captured


def _attention(model: LensModel, layer: int, masks: ByName, sites: ByName, raw: ByName) -> None:
    """Norms feed attention and MLP; patterns sum to 1 and weigh the values, query heads in equal groups a key head."""
    norm = f"{layer}.ln_2" if f"{layer}.ln_2" in model.norms else f"{layer}.ln_1"
    _same(model, sites[f"{layer}.attn_in"][0], raw[f"{layer}.ln_1 out"], f"{layer}.attn_in is not what ln_1 gives")
    _same(model, sites[f"{layer}.mlp_in"][0], raw[f"{norm} out"], f"{layer}.mlp_in is not what {norm} gives")
    pattern = sites[f"{layer}.{PATTERN}"][0, ..., :-1]
    _same(model, pattern.sum(-1), torch.ones_like(pattern[..., 0]), f"{layer}.{PATTERN} does not sum to 1 (a sink?)")
    heads = model.sites[f"{layer}.attn_v"].head
    assert heads is not None
    values = _read(f"{layer}.attn_v", masks, sites).unflatten(-1, (int(heads.max()) + 1, -1)).transpose(1, 2)
    values = values.repeat_interleave(pattern.shape[1] // values.shape[1], 1)
    mixed = (pattern @ values).transpose(1, 2).flatten(2)
    _same(model, mixed, raw[f"{layer} mixed"].flatten(2), f"{layer}.attn_out is not made of values under the pattern")


def _stream(model: LensModel, points: Points, masks: ByName, sites: ByName, raw: ByName) -> None:
    added = [_read(f"{layer}.{kind}", masks, sites) for layer in points.layers for kind in ("attn_out", "mlp_out")]
    total = raw["first"] + torch.stack(added).sum(0)
    _same(model, total, raw["last"], "attn_out and mlp_out are not what is added to the residual stream")


def _read(site: str, masks: ByName, sites: ByName) -> Tensor:
    """What is read of a site under masks, float[prompt, pos, node]."""
    return masks[site] * sites[site][0]


def _levers(model: LensModel, probe: Tensor, expected: Tensor, scales: ByName) -> None:
    """All-on masks and the model's own norm scales change nothing, and the logits depend on each of them."""
    with torch.enable_grad():
        masks = {name: torch.ones(1, site.size, device=model.device) for name, site in model.sites.items()}
        levers = {**masks, **{name: scale.detach().clone() for name, scale in scales.items()}}
        for lever in levers.values():
            lever.requires_grad_(True)
        logits = model.run(probe, masks=masks, norm_scales={name: levers[name] for name in scales}).logits
        _same(model, logits[0].detach(), expected, "all-on masks and its own norm scales change the model")
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).to(logits)
        found = torch.autograd.grad((logits * weights).sum(), list(levers.values()), allow_unused=True)
    for name, grad in zip(levers, found, strict=True):
        if grad is None or not grad.any():
            raise UserError(f"{_refused(model)}: the logits do not depend on what its hook point of {name} gives")


def _same(model: LensModel, found: Tensor, expected: Tensor, fault: str) -> None:
    allowed = ROUNDING * float(expected.abs().max())
    if found.shape != expected.shape or not float((found - expected).abs().max()) <= allowed:
        raise UserError(f"{_refused(model)}: {fault}")


def _refused(model: LensModel) -> str:
    return f"{model.name} ({model.source.architecture}) cannot be run faithfully through TransformerLens's hook points"
