"""Laws of what a model may have: `restrict`, `count_edges`, `shuffled`, `own_prompts`, `portable`."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

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
    for what, keep in _keeps(probe).items():
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
    keep = _keeps(probe)["random nodes of three members"]
    restricted = probe.model.restrict(keep, Ablation(), trainable=True)
    for site, kept in keep.items():
        index, filled = slots(kept)
        done = f"restricted the model, and looked at {site}"
        if restricted.sites[site].size != index.shape[1]:
            expected = f"{index.shape[1]} slots, as of faithcheck.slots"
            yield Fault(done, expected, f"{restricted.sites[site].size}")
            continue
        mask = probe.uniform(3, *index.shape)
        spread = torch.zeros_like(kept, dtype=mask.dtype).scatter_add(1, index, mask * filled)
        whole = {name: k.to(mask.dtype) for name, k in keep.items()} | {site: spread}
        found = probe.apart(_logits(restricted, probe, {site: mask}), probe.logits(masks=whole))
        if found:
            yield Fault(f"masked the slots of {site}", "the logits of the whole model with that mask", found)
        fault = _captured_fault(probe, restricted, site, whole, (index, filled))
        if fault:
            yield Fault(done, "the whole model's values of the kept nodes, before the mask", fault)


def _captured_fault(
    probe: Probe, restricted: Model, site: str, masks: dict[str, Tensor], places: tuple[Tensor, Tensor]
) -> str:
    index, filled = (part[:, None, None] for part in places)
    whole = probe.run(masks=masks, capture=[site]).captured[site]
    shape = (len(index), *whole.shape[1:3])
    expected = whole.expand(*shape, -1).gather(-1, index.expand(*shape, -1)) * filled
    with torch.no_grad():
        found = restricted.run(probe.tokens, capture=[site]).captured[site]
    return probe.apart(found.expand(shape[0], *found.shape[1:]) * filled, expected) if found.numel() else ""


def _logits(model: Model, probe: Probe, masks: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model.run(probe.tokens, masks=masks).logits


def a_restricted_models_patterns_are_of_its_heads(probe: Probe) -> Iterator[Fault]:
    """Captured the patterns of a restricted model."""
    keep = _keeps(probe)["random nodes of three members"]
    for site, at in probe.model.sites.items():
        if at.kind != "attn_v" or at.head is None:
            continue
        name, kept = f"{at.layer}.attn_pattern", keep[site].clone()
        kept[1] &= at.head != 0  # one member without its first head
        parts = {**keep, site: kept}
        masks = {other: part.to(probe.model.dtype) for other, part in parts.items()}
        whole = probe.run(masks=masks, capture=[name]).captured[name]
        if whole.shape[2] != int(at.head.max()) + 1:
            continue  # grouped: which query heads a v node belongs to is not declared
        run = probe.model.restrict(parts, Ablation()).run(probe.tokens, capture=[name])
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
    keep = _keeps(probe)["random nodes of three members"]
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
    found = torch.autograd.grad((weights * logits).sum(), list(ones.values()), allow_unused=True)
    expected = torch.autograd.grad((weights * whole).sum(), list(masks.values()), allow_unused=True)
    for site, own, all_ in zip(keep, found, expected, strict=True):
        index, filled = slots(keep[site])
        if own is None or all_ is None or not own.numel():
            continue
        fault = probe.apart(own * filled, all_.gather(1, index) * filled)
        if fault:
            yield Fault(f"compared gradients at {site}", "those of the whole model's mask", fault)


def edges_are_counted_between_kept_nodes(probe: Probe) -> Iterator[Fault]:
    """Counted the edges of circuits."""
    keeps = _keeps(probe)
    some = {site: kept[0] for site, kept in keeps["random nodes of three members"].items()}
    counts = {what: probe.model.count_edges(keep) for what, keep in (("no", keeps["no nodes"]), ("some", some))}
    counts["all"] = probe.model.count_edges(keeps["all nodes"])
    if not all(isinstance(count, int) for count in counts.values()):
        yield Fault("counted edges", "whole numbers (int)", f"{counts}")
    elif not 0 == counts["no"] <= counts["some"] <= counts["all"]:
        yield Fault("counted the edges of no, some and all nodes", "0, and never fewer for more nodes", f"{counts}")


def a_shuffled_model_is_another_of_the_same_shape(probe: Probe) -> Iterator[Fault]:
    """Shuffled the weights."""
    model = probe.model
    one, again, other = (model.shuffled(seed) for seed in (0, 0, 1))
    done = "shuffled the weights by seed 0, by seed 0 again, and by seed 1"
    if one.sites != model.sites or list(one.norms) != list(model.norms):
        yield Fault(done, "the model's sites and norms", "others")
        return
    prints = [m.fingerprint for m in (model, one, other)]
    if len(set(prints)) < 3:
        yield Fault(done, "three fingerprints: the model's, and one a seed", "two that are the same")
    logits = [_logits(m, probe, {}) for m in (one, again, other)]
    if again.fingerprint != one.fingerprint or probe.apart(logits[1], logits[0]):
        yield Fault(done, "the same model for the same seed", "another")
    if torch.equal(logits[0], logits[2]) or torch.equal(logits[0], probe.bare.logits):
        yield Fault(done, "other logits", "the very same")
    if probe.apart(probe.logits(), probe.bare.logits):
        yield Fault(done, "the model itself left as it was", "its logits changed")


def members_may_have_prompts_of_their_own(probe: Probe) -> Iterator[Fault]:
    """Ran two members on prompts of their own."""
    tokens = torch.stack([probe.tokens, probe.tokens.flip(0)])
    positions = torch.stack([probe.positions, probe.positions.flip(0)])
    masks = probe.masks(2)
    together = probe.logits(tokens, positions=positions, masks=masks)
    for member in range(2):
        own = {site: mask[member : member + 1] for site, mask in masks.items()}
        alone = probe.logits(tokens[member], positions=positions[member], masks=own)
        found = probe.apart(together[member : member + 1], alone)
        if found:
            yield Fault(f"ran member {member} on its own prompts, with another and alone", "the same logits", found)


def a_portable_model_survives_pickling(probe: Probe) -> Iterator[Fault]:
    """Pickled the model and loaded it again."""
    again: Model = pickle.loads(pickle.dumps(probe.model))
    found = probe.apart(_logits(again, probe, {}), probe.bare.logits)
    if found or again.fingerprint != probe.model.fingerprint:
        yield Fault("pickled the model and loaded it again", "the same model", found or "another fingerprint")


def _keeps(probe: Probe) -> dict[str, dict[str, Tensor]]:
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


LAWS = {
    "restrict": (
        a_restricted_model_is_the_masked_one,
        a_restricted_models_nodes_are_slots,
        a_restricted_models_patterns_are_of_its_heads,
        a_restricted_model_can_be_trained,
    ),
    "count_edges": (edges_are_counted_between_kept_nodes,),
    "shuffled": (a_shuffled_model_is_another_of_the_same_shape,),
    "own_prompts": (members_may_have_prompts_of_their_own,),
    "portable": (a_portable_model_survives_pickling,),
}
"""The laws of each part, tried where the model has it: a method that is there, or a mark that is true."""
