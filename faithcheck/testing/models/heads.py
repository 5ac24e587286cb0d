"""Laws on heads: whose pattern is which, and which queries, keys and values belong together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from faithcheck.heads import group_size, query_heads
from faithcheck.model import Site
from faithcheck.testing.models.probe import Fault, Probe

_ADVICE = (
    "Site.head[node] is the head of each q, k or v node, and head i of a pattern is query head i",
    "of g query heads to a head of keys and values, query heads i * g to (i + 1) * g - 1 read head i",
)


def patterns_are_causal_and_sum_to_1(probe: Probe) -> Iterator[Fault]:
    """Captured the attention pattern of every layer (a layer with attn_v has one)."""
    width = probe.tokens.shape[1]
    future = torch.ones(width, width, device=probe.model.device).triu(1)
    for layer in _layers(probe):
        name, heads = f"{layer}.attn_pattern", _query_heads(probe, layer)
        pattern = _pattern(probe, layer)
        shape = (1, len(probe.tokens), heads, width, width + 1)
        done = f"captured {name}"
        if pattern.shape != shape:
            shapes = "float[member, prompt, query head, query, key + 1], the last column being the sink"
            yield Fault(done, f"{shapes}: {shape}", f"shape {tuple(pattern.shape)}")
            continue
        found = probe.apart(pattern.sum(-1), torch.ones_like(pattern[..., 0]))
        if found or bool((pattern < 0).any()):
            advice = "without a sink in the model, the last column is 0"
            yield Fault(done, "rows of probabilities, with the sink's", found or "a number below 0", (advice,))
        if bool((pattern[..., :-1] * future != 0).any()):
            yield Fault(done, "no attention to later positions", "some")


def patterns_are_of_the_run_and_of_their_heads(probe: Probe) -> Iterator[Fault]:
    """Replaced the queries of each head, and then its keys, and captured the patterns."""
    for layer in _layers(probe):
        group, before = group_size(probe.model, layer), _pattern(probe, layer)
        for kind, readers in (("attn_q", 1), ("attn_k", group)):
            site, changed = f"{layer}.{kind}", False
            if site not in probe.model.sites:
                continue
            for head in range(_heads(probe.model.sites[site])):
                own = query_heads([head], readers)
                found = _pattern(probe, layer, **_replaced(probe, site, head))
                others = [other for other in range(found.shape[2]) if other not in own]
                changed |= not torch.equal(found[:, :, own], before[:, :, own])
                fault = probe.apart(found[:, :, others], before[:, :, others])
                if fault:
                    done = f"replaced the nodes of head {head} of {site}, and captured {layer}.attn_pattern"
                    yield Fault(done, f"another pattern of query head {_listed(own)} only", fault, _ADVICE)
                    return
            if not changed:
                done = f"replaced the nodes of one head of {site} after the other, and captured {layer}.attn_pattern"
                advice = "a pattern is that of the run with its masks, not of the model without"
                yield Fault(done, "other patterns", "the very same", (advice,))


def values_go_with_the_queries_of_their_head(probe: Probe) -> Iterator[Fault]:
    """Turned off the values of each head, and replaced the queries that read them."""
    for layer in _layers(probe):
        group, value, query = group_size(probe.model, layer), f"{layer}.attn_v", f"{layer}.attn_q"
        if query not in probe.model.sites:
            continue
        for head in range(_heads(probe.model.sites[value])):
            off = {value: (_head_of(probe, value) != head).to(probe.model.dtype)[None]}
            expected = probe.logits(masks=off)
            for reader in query_heads([head], group):
                levers = _replaced(probe, query, reader)
                found = probe.apart(probe.logits(**{**levers, "masks": {**levers["masks"], **off}}), expected)
                if found:
                    done = f"turned off head {head} of {value}, and replaced head {reader} of {query}, which reads it"
                    yield Fault(done, "the same logits as with the queries as they are", found, _ADVICE)
                    return


def _replaced(probe: Probe, site: str, head: int) -> dict[str, Any]:
    """Levers that give the nodes of one head of a site random values."""
    return {
        "masks": {site: (_head_of(probe, site) != head).to(probe.model.dtype)[None]},
        "baselines": {site: probe.baseline(site)},
    }


def _pattern(probe: Probe, layer: int, **levers: Any) -> Tensor:
    name = f"{layer}.attn_pattern"
    return probe.run(capture=[name], **levers).captured[name]


def _head_of(probe: Probe, site: str) -> Tensor:
    head = probe.model.sites[site].head
    assert head is not None
    return head.to(probe.model.device)


def _heads(site: Site) -> int:
    assert site.head is not None
    return int(site.head.max()) + 1


def _query_heads(probe: Probe, layer: int) -> int:
    """Those of the queries, or where these are no site, as many as there are of values."""
    site = probe.model.sites.get(f"{layer}.attn_q") or probe.model.sites[f"{layer}.attn_v"]
    return _heads(site)


def _layers(probe: Probe) -> Iterator[int]:
    """The layers with attention: those whose values are a site."""
    return (site.layer for site in probe.model.sites.values() if site.kind == "attn_v")


def _listed(heads: list[int]) -> str:
    return " and ".join(map(str, heads))


LAWS = (
    patterns_are_causal_and_sum_to_1,
    patterns_are_of_the_run_and_of_their_heads,
    values_go_with_the_queries_of_their_head,
)
