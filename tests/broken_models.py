"""Tiny models of one layer, each of which breaks one law of `check_model`."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch

from faithcheck.testing.tiny import model as tiny_module
from faithcheck.testing.tiny.levers import Levers
from faithcheck.testing.tiny.model import TinyModel
from faithcheck.testing.tiny.problem import SAMPLE_TEXT, TinyTokenizer, tiny_tensors
from faithcheck.testing.tiny.restricting import RestrictedModel, RestrictingModel


def small(cls=TinyModel, dtype=torch.float64):
    """The first layer of the tiny model; in float64, where nothing is a matter of rounding."""
    tensors = {name: t for name, t in tiny_tensors(0, dtype).items() if not name.startswith("1.")}
    return cls("small", tensors, TinyTokenizer(), SAMPLE_TEXT)


def logits(change):
    """A model whose logits are changed: change(model, logits, tokens, levers)."""

    class Changed(TinyModel):
        def run(self, tokens, **levers):
            run = super().run(tokens, **levers)
            return replace(run, logits=change(self, run.logits, tokens, levers))

    return Changed


def captured(change):
    """A model whose captured values are changed: change(name, value)."""

    class Changed(TinyModel):
        def run(self, tokens, **levers):
            run = super().run(tokens, **levers)
            return replace(run, captured={name: change(name, value) for name, value in run.captured.items()})

    return Changed


def given(**changes):
    """A model that changes a lever before it uses it: changes[lever](value)."""

    class Changed(TinyModel):
        def run(self, tokens, **levers):
            changed = {lever: changes[lever](value) for lever, value in levers.items() if lever in changes}
            return super().run(tokens, **(levers | changed))

    return Changed


def each(change):
    return lambda by_name: by_name and {name: change(name, value) for name, value in by_name.items()}


def levers(**methods):
    """A model whose levers work otherwise."""

    class Changed(TinyModel):
        def run(self, *args, **kwargs):
            right, tiny_module.Levers = tiny_module.Levers, type("Changed", (Levers,), methods)
            try:
                return super().run(*args, **kwargs)
            finally:
                tiny_module.Levers = right

    return Changed


def site(change):
    """change(levers, name, x, mask or None, baseline or None) -> the value after the intervention."""

    def at_site(self, name, x):
        self.keep(name, x)
        mask = self.masks.get(name)
        mask = mask[:, None, None] if mask is not None and mask.dim() == 2 else mask
        return change(self, name, x, mask, self.baselines.get(name))

    return levers(site=at_site)


def mixed(x, mask, baseline):
    return x if mask is None else mask * x + (1 - mask) * (0 if baseline is None else baseline)


def doubled_gradient(self, name, x, mask, baseline):
    return mixed(x, None if mask is None else 2 * mask - mask.detach(), baseline)


def detached_where_baselines_are(self, name, x, mask, baseline):
    """Its gradient is x dL/dx, not (x - b) dL/dx."""
    if mask is None or baseline is None:
        return mixed(x, mask, baseline)
    return mask * x + (1 - mask.detach()) * baseline


def at_last_position_only(self, name, x, mask, baseline):
    if mask is not None and self.masks[name].dim() == 2:
        mask = torch.cat([torch.ones_like(x[:1, :1, :-1]).expand(len(mask), -1, -1, -1), mask], 2)
    return mixed(x, mask, baseline)


def keeps_after(self, name, x):
    value = Levers.site(self, name, x)
    self.keep(name, value)
    return value


class KeepsMasks(TinyModel):
    """As hooks that stay on where something raises."""

    left = None

    def run(self, tokens, *, masks=None, **levers):
        known = {site: m for site, m in (masks or {}).items() if site in self.sites}
        self.left = known if masks and known != masks else self.left
        return super().run(tokens, masks=masks or self.left, **levers)


class WritesWeights(TinyModel):
    def run(self, tokens, *, masks=None, **levers):
        if masks:
            self.tensors["unembed"] = self.tensors["unembed"] * 1.01
        return super().run(tokens, masks=masks, **levers)


class OtherFingerprints(TinyModel):
    counter = itertools.count()

    @property
    def fingerprint(self):
        return str(next(self.counter))


class NoFingerprint(TinyModel):
    fingerprint = ""


class WrongKind(TinyModel):
    def _site(self, layer, kind):
        return replace(super()._site(layer, kind), kind={"mlp_out": "resid_post"}.get(kind, kind))


class NoHeads(TinyModel):
    def _site(self, layer, kind):
        return replace(super()._site(layer, kind), head=None)


class SaysFloat32(TinyModel):
    def run(self, tokens, **levers):
        self.dtype = torch.float32
        return super().run(tokens, **levers)


class KeyError_(TinyModel):
    def run(self, tokens, *, masks=None, **levers):
        if set(masks or {}) - set(self.sites):
            raise KeyError("no.site")
        return super().run(tokens, masks=masks, **levers)


class BroadcastsOneNode(TinyModel):
    def run(self, tokens, *, masks=None, **levers):
        masks = masks and {
            s: m.expand(*m.shape[:-1], self.sites[s].size) if m.shape[-1] == 1 else m for s, m in masks.items()
        }
        return super().run(tokens, masks=masks, **levers)


class NoGrad(TinyModel):
    @torch.no_grad()
    def run(self, tokens, **levers):
        return super().run(tokens, **levers)


class SwapsNodes(RestrictingModel):
    def restrict(self, keep, ablation, trainable=False):
        return Swapped(self, {s: torch.atleast_2d(k) for s, k in keep.items()}, trainable)


class Swapped(RestrictedModel):
    def _spread(self, site, value, default):
        return super()._spread(site, value if value is None else value.flip(-1), default)


class LeavesOutNothing(RestrictingModel):
    def restrict(self, keep, ablation, trainable=False):
        every = {s: torch.ones_like(torch.atleast_2d(k)) for s, k in keep.items()}
        return RestrictedModel(self, every, trainable)


class AllHeads(RestrictingModel):
    def restrict(self, keep, ablation, trainable=False):
        return AllPatterns(self, {s: torch.atleast_2d(k) for s, k in keep.items()}, trainable)


class AllPatterns(RestrictedModel):
    def _gather(self, name, value):
        return value if "pattern" in name else super()._gather(name, value)


def restricted(run):
    """A model whose restriction runs otherwise: run(the right one, tokens, **levers)."""

    class Restricted(RestrictedModel):
        def run(self, tokens, **levers):
            return run(super().run, tokens, **levers)

    class Changed(RestrictingModel):
        def restrict(self, keep, ablation, trainable=False):
            return Restricted(self, {s: torch.atleast_2d(k) for s, k in keep.items()}, trainable)

    return Changed


def live_at_positions(run, tokens, *, positions=None, norm_scales=None, **levers):
    return run(tokens, positions=positions, norm_scales=norm_scales if positions is None else None, **levers)


def captured_under_live_norms(run, tokens, *, norm_scales=None, **levers):
    return replace(run(tokens, norm_scales=norm_scales, **levers), captured=run(tokens, **levers).captured)


def deaf_at_one_site(run, tokens, *, masks=None, **levers):
    masks = masks and {site: mask.detach() if site.endswith("attn_q") else mask for site, mask in masks.items()}
    return run(tokens, masks=masks, **levers)


class NeverTrains(RestrictingModel):
    def restrict(self, keep, ablation, trainable=False):
        return super().restrict(keep, ablation)


class CountsOff(TinyModel):
    def count_edges(self, keep):
        return sum(int((~kept).sum()) for kept in keep.values())


class WeighsFromTargetToSource(TinyModel):
    def edge_weights(self, keep):
        return {pair: torch.zeros(weight.T.shape) for pair, weight in matrices(self, keep).items()}


class WeighsOff(TinyModel):
    def edge_weights(self, keep):
        return matrices(self, {site: ~kept for site, kept in keep.items()})


class WeighsMoreThanItCounts(TinyModel):
    def edge_weights(self, keep):
        return matrices(self, keep)

    def count_edges(self, keep):
        return sum(int(kept.sum()) for kept in keep.values())


def matrices(model, keep):
    """The MLP's weights between kept nodes."""
    pairs = [("0.mlp_in", "0.mlp_neuron"), ("0.mlp_neuron", "0.mlp_out")]
    return {(a, b): model.tensors[f"{b}.weight"][keep[b]][:, keep[a]] for a, b in pairs}


class ShufflesAtRandom(TinyModel):
    seeds = itertools.count()

    def shuffled(self, seed):
        return super().shuffled(next(self.seeds))


class ShufflesItself(TinyModel):
    def shuffled(self, seed):
        other = super().shuffled(seed)
        other.tensors["unembed"], self.tensors["unembed"] = self.tensors["unembed"], other.tensors["unembed"]
        return other


class OldFingerprint(TinyModel):
    fingerprint = "of the file that it was loaded from"


class ClaimsOwnPrompts(TinyModel):
    own_prompts = True

    def run(self, tokens, *, positions=None, **levers):
        if tokens.dim() == 3:
            tokens, positions = tokens[0], positions[0]
        return super().run(tokens, positions=positions, **levers)


class ForgetsWeights(TinyModel):
    portable = True

    def __getstate__(self):
        return {**self.__dict__, "tensors": {n: t * 0 for n, t in self.tensors.items()}}


class Unordered(TinyModel):
    def __init__(self, *args):
        super().__init__(*args)
        self.sites = dict(reversed(self.sites.items()))


class SeedsTheWorld(TinyModel):
    def run(self, tokens, **levers):
        torch.manual_seed(0)
        return super().run(tokens, **levers)


class WritesMasks(TinyModel):
    def run(self, tokens, *, masks=None, **levers):
        run = super().run(tokens, masks=masks, **levers)
        for mask in (masks or {}).values():
            mask.detach().mul_(0.5)
        return run


class DeviceByName(TinyModel):
    def __init__(self, *args):
        super().__init__(*args)
        self.device = "cpu"


class NoTokenizer(TinyModel):
    def __init__(self, *args):
        super().__init__(*args)
        self.tokenizer = None


class NamedOtherwise(TinyModel):
    def __init__(self, *args):
        super().__init__(*args)
        self.sites = {name: replace(site, layer=site.layer + 1) for name, site in self.sites.items()}


def where(condition, lever):
    """A model that forgets a lever under a condition on the others: condition(levers)."""

    class Changed(TinyModel):
        def run(self, tokens, **levers):
            return super().run(tokens, **(levers | {lever: None} if condition(levers) else levers))

    return Changed


def from_a_bare_run(wanted):
    """A model that captures what is wanted, wanted(name), from a run without masks."""

    class Changed(TinyModel):
        def run(self, tokens, *, capture=(), norm_scales=None, **levers):
            bare = super().run(tokens, capture=[name for name in capture if wanted(name)], norm_scales=norm_scales)
            run = super().run(
                tokens, capture=[name for name in capture if not wanted(name)], norm_scales=norm_scales, **levers
            )
            return replace(run, captured={**run.captured, **bare.captured})

    return Changed


def headed(*kinds):
    """A model that says the heads of these kinds of site in reverse."""

    class Changed(TinyModel):
        def _site(self, layer, kind):
            site = super()._site(layer, kind)
            return replace(site, head=site.head.flip(0)) if kind in kinds else site

    return Changed


class SitesAtPositionsOnly(TinyModel):
    def run(self, tokens, *, positions=None, **levers):
        run = super().run(tokens, positions=positions, **levers)
        if positions is None:
            return run
        return replace(run, captured={name: value * 0 for name, value in run.captured.items()})


def over_nodes_only(baselines):
    """As if every baseline had all axes."""
    return baselines and {site: b * 0 if b.dim() == 1 else b for site, b in baselines.items()}


BROKEN = {
    "logits without members": (logits(lambda self, x, tokens, given: x[0]), "gives finite logits"),
    "a logit that is no number": (logits(lambda self, x, tokens, given: x / 0 * 0), "gives finite logits"),
    "values captured without members": (captured(lambda name, x: x[0]), "captures in the right shape"),
    "a baseline where the mask is 1": (
        site(lambda self, name, x, m, b: mixed(x, m, None) + (0 if m is None or b is None else b)),
        "masks that are all on change nothing",
    ),
    "a baseline without a mask": (
        site(lambda self, name, x, m, b: mixed(x, x * 0 if m is None and b is not None else m, b)),
        "baselines without masks change nothing",
    ),
    "the mean where no baseline is given": (
        site(lambda self, name, x, m, b: mixed(x, m, x.mean() if b is None else b)),
        "a site without a baseline has baseline 0",
    ),
    "masks at the last position only": (site(at_last_position_only), "masks over nodes are the same at every prompt"),
    "one mask for all members": (
        given(masks=each(lambda name, m: m.mean(0, keepdim=True))),
        "members are separate runs",
    ),
    "positions off by one": (given(positions=lambda p: p if p is None else p - 1), "positions and vocab select"),
    "a vocabulary in order": (given(vocab=lambda v: v if v is None else v.sort().values), "positions and vocab select"),
    "logits that grow with the width": (
        logits(lambda self, x, tokens, given: x * (1 + tokens.shape[1] / 9)),
        "padding changes nothing",
    ),
    "a norm over the batch": (
        logits(lambda self, x, tokens, given: x - x.mean(1, keepdim=True)),
        "splitting a batch changes nothing",
    ),
    "a look at what comes later": (
        logits(lambda self, x, tokens, given: x + self.tensors["embed"][tokens[:, -1]].mean()),
        "later tokens change nothing earlier",
    ),
    "a squared mask": (site(lambda self, name, x, m, b: mixed(x, None if m is None else m * m, b)), "a mask mixes"),
    "one site without a hook": (
        site(lambda self, name, x, m, b: mixed(x, None if name == "0.mlp_out" else m, b)),
        "a mask of 0 replaces the value",
    ),
    "a value captured after the mask": (levers(site=keeps_after), "what is captured is the value before the mask"),
    "sites in another order": (Unordered, "what is captured is the value before the mask"),
    "scales captured as squares": (
        captured(lambda name, x: x**2 if "ln" in name else x),
        "own norm scales change nothing",
    ),
    "norm scales without effect": (given(norm_scales=lambda scales: None), "norm scales are used"),
    "a pattern without the sink": (
        captured(lambda name, x: x[..., :-1] if "pattern" in name else x),
        "patterns are causal and sum to 1",
    ),
    "a pattern before its softmax": (
        captured(lambda name, x: x.log() if "pattern" in name else x),
        "patterns are causal and sum to 1",
    ),
    "runs without a graph": (NoGrad, "masks have gradients"),
    "a detached mask": (
        given(masks=each(lambda name, m: m.detach() if name == "0.attn_k" else m)),
        "gradients are finite differences",
    ),
    "a detached baseline": (
        site(detached_where_baselines_are),
        "a baseline that is the value has gradient 0",
    ),
    "a gradient twice as large": (site(doubled_gradient), "gradients are finite differences"),
    "a kind that there is not": (WrongKind, "declares its sites"),
    "queries without heads": (NoHeads, "declares its sites"),
    "no fingerprint": (NoFingerprint, "declares its name and fingerprint"),
    "a fingerprint that changes": (OtherFingerprints, "declares its name and fingerprint"),
    "another dtype than declared": (SaysFloat32, "computes in its dtype on its device"),
    "an unknown site that is a KeyError": (KeyError_, "refuses unknown names and wrong sizes"),
    "one number for all nodes": (BroadcastsOneNode, "refuses unknown names and wrong sizes"),
    "a device by its name": (DeviceByName, "declares its device dtype and tokenizer"),
    "no tokenizer": (NoTokenizer, "declares its device dtype and tokenizer"),
    "sites called after another layer": (NamedOtherwise, "declares its sites"),
    "a mask that is written to": (WritesMasks, "leaves what it is given as it was"),
    "global generators that are seeded": (SeedsTheWorld, "leaves global state alone"),
    "baselines over nodes taken for 0": (given(baselines=over_nodes_only), "levers broadcast"),
    "no baselines with positions": (where(lambda given: given.get("positions") is not None, "baselines"), "positions"),
    "no norm scales with positions": (
        where(lambda given: given.get("positions") is not None, "norm_scales"),
        "positions and vocab select from all logits",
    ),
    "no norm scales under masks": (where(lambda given: given.get("masks"), "norm_scales"), "norm scales are used"),
    "no values with positions": (SitesAtPositionsOnly, "positions leave what is captured"),
    "values captured without masks": (
        from_a_bare_run(lambda name: "ln" not in name and "pattern" not in name),
        "what is captured is of the run with its masks",
    ),
    "scales captured without masks": (from_a_bare_run(lambda name: "ln" in name), "own norm scales change nothing"),
    "patterns captured without masks": (
        from_a_bare_run(lambda name: "pattern" in name),
        "patterns are of the run and of their heads",
    ),
    "patterns in another order": (
        captured(lambda name, x: x.flip(2) if "pattern" in name else x),
        "patterns are of the run and of their heads",
    ),
    "keys of other heads": (headed("attn_k"), "patterns are of the run and of their heads"),
    "values of other heads": (headed("attn_v"), "values go with the queries of their head"),
    "masks that stay": (KeepsMasks, "keeps no state"),
    "weights that change": (WritesWeights, "keeps no state"),
    "restrict to everything": (LeavesOutNothing, "a restricted model is the masked one"),
    "slots in another order": (SwapsNodes, "a restricted models nodes are slots"),
    "a restriction without scales at positions": (restricted(live_at_positions), "a restricted model has every lever"),
    "a restriction's values under live norms": (
        restricted(captured_under_live_norms),
        "a restricted model has every lever",
    ),
    "patterns of heads that were left out": (AllHeads, "a restricted models patterns are of its heads"),
    "a restricted model that never trains": (NeverTrains, "a restricted model can be trained"),
    "a restricted model without gradients at a site": (
        restricted(deaf_at_one_site),
        "a restricted model can be trained",
    ),
    "edges of nodes that are off": (CountsOff, "edges are counted between kept nodes"),
    "weights of nodes that are off": (WeighsOff, "edges weigh what lies between kept nodes"),
    "weights from target to source": (WeighsFromTargetToSource, "edges weigh what lies between kept nodes"),
    "other weights than are counted": (WeighsMoreThanItCounts, "edges weigh what lies between kept nodes"),
    "a shuffle that is not by the seed": (ShufflesAtRandom, "a shuffled model is another of the same shape"),
    "a shuffle that changes the model": (ShufflesItself, "a shuffled model is another of the same shape"),
    "a shuffle with the same fingerprint": (OldFingerprint, "a shuffled model is another of the same shape"),
    "prompts of the first member for all": (ClaimsOwnPrompts, "members may have prompts of their own"),
    "a pickle without the weights": (ForgetsWeights, "a portable model survives pickling"),
}
"""What is wrong, the class, and how the law begins that it breaks."""
