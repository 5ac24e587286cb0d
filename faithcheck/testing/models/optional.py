"""Laws of what a model may have: `restrict`, `count_edges`, `edge_weights`, `shuffled`, `own_prompts`, `portable`."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import torch
from torch import Tensor

from faithcheck.model import Model
from faithcheck.testing.models import restricted
from faithcheck.testing.models.probe import Fault, Probe
from faithcheck.testing.models.restricted import keeps


def edges_are_counted_between_kept_nodes(probe: Probe) -> Iterator[Fault]:
    """Counted the edges of circuits."""
    circuits = keeps(probe)
    some = {site: kept[0] for site, kept in circuits["random nodes of three members"].items()}
    counts = {what: probe.model.count_edges(keep) for what, keep in (("no", circuits["no nodes"]), ("some", some))}
    counts["all"] = probe.model.count_edges(circuits["all nodes"])
    if not all(isinstance(count, int) for count in counts.values()):
        yield Fault("counted edges", "whole numbers (int)", f"{counts}")
    elif not 0 == counts["no"] <= counts["some"] <= counts["all"]:
        yield Fault("counted the edges of no, some and all nodes", "0, and never fewer for more nodes", f"{counts}")


def edges_weigh_what_lies_between_kept_nodes(probe: Probe) -> Iterator[Fault]:
    """Asked for the weights between some nodes, and between all."""
    model, circuits = probe.model, keeps(probe)
    some = {site: kept[0] for site, kept in circuits["random nodes of three members"].items()}
    weights, whole = model.edge_weights(some), model.edge_weights(circuits["all nodes"])
    for pair, weight in weights.items():
        source, target = pair
        if not {source, target} <= set(model.sites) or pair not in whole:
            yield Fault("asked for the weights between some nodes", "pairs of sites", f"{pair}")
        elif not torch.equal(weight, whole[pair][some[target]][:, some[source]]):
            done = f"asked for the weights from {source} to {target} between some nodes, and between all"
            yield Fault(done, "of all of them, the rows of kept targets and the columns of kept sources", "others")
    count = getattr(model, "count_edges", None)
    edges = sum(int((weight != 0).sum()) for weight in weights.values())
    if count is not None and count(some) != edges:
        yield Fault("counted weights that are not 0", f"as many as count_edges says, {count(some)}", f"{edges}")


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
    logits = [_logits(m, probe) for m in (one, again, other)]
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
    found = probe.apart(_logits(again, probe), probe.bare.logits)
    if found or again.fingerprint != probe.model.fingerprint:
        yield Fault("pickled the model and loaded it again", "the same model", found or "another fingerprint")


def _logits(model: Model, probe: Probe) -> Tensor:
    with torch.no_grad():
        return model.run(probe.tokens).logits


LAWS = {
    "restrict": restricted.LAWS,
    "count_edges": (edges_are_counted_between_kept_nodes,),
    "edge_weights": (edges_weigh_what_lies_between_kept_nodes,),
    "shuffled": (a_shuffled_model_is_another_of_the_same_shape,),
    "own_prompts": (members_may_have_prompts_of_their_own,),
    "portable": (a_portable_model_survives_pickling,),
}
"""The laws of each part, tried where the model has it: a method that is there, or a mark that is true."""
