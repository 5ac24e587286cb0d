"""Laws of `restrict`: a circuit as a model of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.model import Model
from faithcheck.slots import slots
from faithcheck.testing.models.probe import Fault, Probe

_WHOLE = ("embedding, unembedding and norms stay whole", "a bias of a node that is kept stays, others go")


def a_restricted_model_is_the_masked_one(probe: Probe) -> Iterator[Fault]:
    """Restricted the model to random nodes, to none and to all."""
    scales = {norm: probe.bare.captured[norm] for norm in probe.model.norms}
    for what, keep in keeps(probe).items():
        masks = {site: torch.atleast_2d(kept).to(probe.model.dtype) for site, kept in keep.items()}
        restricted = probe.model.restrict(keep, Ablation())
        for positions, norms in ((None, None), (probe.positions, None), (None, scales)):
            found = restricted.run(probe.tokens, positions=positions, norm_scales=norms).logits
            fault = probe.apart(found, probe.logits(masks=masks, positions=positions, norm_scales=norms))
            if fault:
                how = ", with frozen norms" if norms else ", with positions=" if positions is not None else ""
                yield Fault(f"ran the model restricted to {what}{how}", "the logits of the masked model", fault, _WHOLE)
                break


def a_restricted_models_nodes_are_slots(probe: Probe) -> Iterator[Fault]:
    """Masked and captured a restricted model."""
    keep = keeps(probe)["random nodes of three members"]
    restricted = probe.model.restrict(keep, Ablation(), trainable=True)
    for site, kept in keep.items():
        index, filled = slots(kept)
        done = f"restricted the model, and looked at {site}"
        if restricted.sites[site].size != index.shape[1]:
            expected = f"{index.shape[1]} slots, as of faithcheck.slots"
            yield Fault(done, expected, f"{restricted.sites[site].size}")
            continue
        mask = probe.uniform(3, *index.shape)
        spread = _spread(mask, kept, (index, filled))
        whole = {name: k.to(mask.dtype) for name, k in keep.items()} | {site: spread}
        found = probe.apart(_logits(restricted, probe, {site: mask}), probe.logits(masks=whole))
        if found:
            yield Fault(f"masked the slots of {site}", "the logits of the whole model with that mask", found)
        fault = _captured_fault(probe, restricted, site, whole, (index, filled))
        if fault:
            yield Fault(done, "the whole model's values of the kept nodes, before the mask", fault)


def a_restricted_model_has_every_lever(probe: Probe) -> Iterator[Fault]:
    """Ran a restricted model with masks, baselines, norm scales, positions and vocab at once, and captured all."""
    keep = keeps(probe)["random nodes of three members"]
    places = {site: slots(kept) for site, kept in keep.items()}
    masks = {site: probe.uniform(60 + i, *index.shape) for i, (site, (index, _)) in enumerate(places.items())}
    baselines = {
        site: probe.uniform(90 + i, 3, *probe.tokens.shape, index.shape[1])
        for i, (site, (index, _)) in enumerate(places.items())
    }
    vocab = torch.tensor([1, 0], device=probe.model.device) % probe.bare.logits.shape[-1]
    names = [*(site for site in keep if places[site][0].numel()), *probe.model.norms]
    shared: dict[str, Any] = {"positions": probe.positions, "vocab": vocab, "capture": names}
    shared["norm_scales"] = {norm: scale for norm, scale in probe.scales().items() if norm not in probe.model.norms[:1]}
    spread: dict[str, Any] = {
        "masks": {site: _spread(mask, keep[site], places[site]) for site, mask in masks.items()},
        "baselines": {site: _spread(baseline, keep[site], places[site]) for site, baseline in baselines.items()},
    }
    whole = probe.run(**spread, **shared)
    with torch.no_grad():
        restricted = probe.model.restrict(keep, Ablation())
        run = restricted.run(probe.tokens, masks=masks, baselines=baselines, **shared)
    faults = {"the logits": probe.apart(run.logits, whole.logits)}
    for name in names:
        expected = whole.captured[name].expand(3, *whole.captured[name].shape[1:])
        found = run.captured[name].expand(3, *run.captured[name].shape[1:])
        if name in places:
            expected, found = _at_slots(expected, places[name]), found * places[name][1][:, None, None]
        faults[name] = probe.apart(probe.up_to_the_answer(found), probe.up_to_the_answer(expected))
    for name, fault in faults.items():
        if fault:
            done = (
                f"ran a restricted model with masks, baselines, norm scales, positions and vocab, and looked at {name}"
            )
            yield Fault(done, "what the whole model gives, with these at the kept nodes and 0 at others", fault)
            return


def _spread(value: Tensor, kept: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """A lever float[member, ..., slot] as one over all nodes, 0 at those left out."""
    lead = (1,) * (value.dim() - 2)
    index, filled = (part.view(len(part), *lead, -1) for part in places)
    nodes = value.new_zeros((*value.shape[:-1], kept.shape[1]))
    return nodes.scatter_add(-1, index.expand(value.shape), value * filled)


def _captured_fault(
    probe: Probe, restricted: Model, site: str, masks: dict[str, Tensor], places: tuple[Tensor, Tensor]
) -> str:
    filled = places[1][:, None, None]
    expected = _at_slots(probe.run(masks=masks, capture=[site]).captured[site], places)
    with torch.no_grad():
        found = restricted.run(probe.tokens, capture=[site]).captured[site]
    return probe.apart(found.expand(len(filled), *found.shape[1:]) * filled, expected) if found.numel() else ""


def _at_slots(value: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """What is captured at all nodes, float[member or 1, prompt, pos, node], at the slots; 0 at empty ones."""
    index, filled = (part[:, None, None] for part in places)
    shape = (len(index), *value.shape[1:3])
    return value.expand(*shape, -1).gather(-1, index.expand(*shape, -1)) * filled


def _logits(model: Model, probe: Probe, masks: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model.run(probe.tokens, masks=masks).logits


def a_restricted_models_patterns_are_of_its_heads(probe: Probe) -> Iterator[Fault]:
    """Captured the patterns of a restricted model."""
    keep, scales = keeps(probe)["random nodes of three members"], probe.scales()
    for site, at in probe.model.sites.items():
        if at.kind != "attn_v" or at.head is None:
            continue
        name, kept = f"{at.layer}.attn_pattern", keep[site].clone()
        kept[1] &= at.head != 0  # one member without its first head
        parts = {**keep, site: kept}
        masks = {other: part.to(probe.model.dtype) for other, part in parts.items()}
        whole = probe.run(masks=masks, norm_scales=scales, capture=[name]).captured[name]
        if whole.shape[2] != int(at.head.max()) + 1:
            continue  # grouped: which query heads a v node belongs to is not declared
        run = probe.model.restrict(parts, Ablation()).run(probe.tokens, norm_scales=scales, capture=[name])
        heads = torch.stack([kept[:, at.head == head].any(1) for head in range(whole.shape[2])], 1)
        index, filled = (part.view(len(kept), 1, -1, 1, 1) for part in slots(heads))
        whole = whole.expand(len(kept), *whole.shape[1:])
        expected = torch.take_along_dim(whole, index, 2) * filled
        found = run.captured[name]
        fault = probe.apart(found * filled, expected) if found.shape[2] == index.shape[2] else f"{found.shape[2]} heads"
        if fault:
            wanted = f"{index.shape[2]} heads, those with a kept v node, in ascending order, padded at the end"
            yield Fault(f"captured {name} of a restricted model", wanted, fault)


def a_restricted_model_can_be_trained(probe: Probe) -> Iterator[Fault]:
    """Asked for gradients of the masks of a restricted model."""
    keep = keeps(probe)["random nodes of three members"]
    restricted = probe.model.restrict(keep, Ablation(), trainable=True)
    ones = {
        site: torch.ones(3, at.size, dtype=probe.model.dtype, device=probe.model.device).requires_grad_()
        for site, at in restricted.sites.items()
    }
    logits = restricted.run(probe.tokens, positions=probe.positions, masks=ones).logits
    if not logits.requires_grad:
        yield Fault("ran a trainable restricted model with masks that want gradients", "a graph", "none")
        return
    masks = {site: kept.to(probe.model.dtype).requires_grad_() for site, kept in keep.items()}
    whole = probe.model.run(probe.tokens, positions=probe.positions, masks=masks).logits
    weights = probe.uniform(5, *whole.shape) - 0.5
    found, expected = (
        torch.autograd.grad((weights * values).sum(), list(by.values()), allow_unused=True, materialize_grads=True)
        for values, by in ((logits, ones), (whole, masks))
    )
    for site, own, all_ in zip(keep, found, expected, strict=True):
        index, filled = slots(keep[site])
        fault = probe.apart(own * filled, all_.gather(1, index) * filled) if own.numel() else ""
        if fault:
            yield Fault(f"compared gradients at {site}", "those of the whole model's mask", fault)


def keeps(probe: Probe) -> dict[str, dict[str, Tensor]]:
    """{what: {site: bool[node] or bool[member, node]}}."""
    sites = probe.model.sites.items()
    every = {site: torch.ones(at.size, dtype=torch.bool, device=probe.model.device) for site, at in sites}
    drawn = {site: probe.uniform(50 + seed, 3, at.size) for seed, (site, at) in enumerate(sites)}
    shares = probe.uniform(49, 3, 1)
    return {
        "random nodes": {site: d[0] < 0.6 for site, d in drawn.items()},
        "random nodes of three members": {site: d < 0.3 + 0.6 * shares for site, d in drawn.items()},
        "no nodes": {site: ~e for site, e in every.items()},
        "all nodes": every,
    }


LAWS = (
    a_restricted_model_is_the_masked_one,
    a_restricted_models_nodes_are_slots,
    a_restricted_model_has_every_lever,
    a_restricted_models_patterns_are_of_its_heads,
    a_restricted_model_can_be_trained,
)
