"""Laws on what a model declares, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from faithcheck.model import HEADED, SITE_KINDS, Site
from faithcheck.testing.models.probe import Fault, Probe


def declares_its_sites(probe: Probe) -> Iterator[Fault]:
    """Read model.sites."""
    model, layers = probe.model, [0]
    if not model.sites:
        yield Fault("read model.sites", "at least one site", "none")
    for name, site in model.sites.items():
        fault = _site_fault(name, site)
        if fault:
            yield Fault(f"read model.sites[{name!r}]", fault[0], fault[1])
            continue
        if site.layer < layers[-1]:
            yield Fault(
                "read the order of model.sites", "the order of execution", f"{name} after one of layer {layers[-1]}"
            )
        layers.append(site.layer)


def _site_fault(name: str, site: object) -> tuple[str, str] | None:
    """(what was expected, what was found)."""
    if not isinstance(site, Site):
        return "a faithcheck.model.Site", f"a {type(site).__name__}"
    if site.kind not in SITE_KINDS:
        return f"one of the kinds {', '.join(SITE_KINDS)}", repr(site.kind)
    if name != f"{site.layer}.{site.kind}" or not isinstance(site.layer, int):
        return f"the name '{site.layer}.{site.kind}', of a layer (int) and a kind", f"{name!r} of layer {site.layer!r}"
    if site.kind not in HEADED:
        return None if site.head is None else ("no heads: they belong to q, k and v nodes", "heads")
    if site.head is None:
        return "the head of each node, int[node]", "no heads"
    if site.head.shape != (site.size,) or site.head.is_floating_point():
        return f"int[{site.size}] heads", f"{site.head.dtype} of shape {tuple(site.head.shape)}"
    return None


def declares_its_name_and_fingerprint(probe: Probe) -> Iterator[Fault]:
    """Read the name and the fingerprint."""
    model = probe.model
    for part in ("name", "fingerprint"):
        value = getattr(model, part)
        if not isinstance(value, str) or not value:
            yield Fault(f"read model.{part}", "text", repr(value))
    if model.fingerprint != model.fingerprint:
        yield Fault("read the fingerprint twice", "the same: SHA-256 over config and weights", "another")


def declares_its_device_dtype_and_tokenizer(probe: Probe) -> Iterator[Fault]:
    """Read the device, the dtype and the tokenizer."""
    for part, kind in (("device", torch.device), ("dtype", torch.dtype)):
        value = getattr(probe.model, part)
        if not isinstance(value, kind):
            yield Fault(f"read model.{part}", f"a torch.{part}", repr(value))
    for part in ("encode", "decode"):
        if not callable(getattr(probe.model.tokenizer, part, None)):
            yield Fault("read model.tokenizer", "encode(text) -> list[int] and decode(tokens) -> str", f"no {part}")


def computes_in_its_dtype_on_its_device(probe: Probe) -> Iterator[Fault]:
    """Looked at the logits and what was captured."""
    for name, value in {"the logits": probe.bare.logits, **probe.bare.captured}.items():
        if value.dtype != probe.model.dtype or value.device.type != torch.device(probe.model.device).type:
            wanted = f"{probe.model.dtype} on {probe.model.device}, as the model declares"
            yield Fault(f"looked at {name}", wanted, f"{value.dtype} on {value.device}")


def refuses_unknown_names_and_wrong_sizes(probe: Probe) -> Iterator[Fault]:
    """Ran with names that there are not, and masks of a wrong size."""
    model = probe.model
    site, at = next(iter(model.sites.items()))
    one = torch.ones(1, 1, 1, dtype=model.dtype, device=model.device)
    wide = torch.ones(1, at.size + 1, dtype=model.dtype, device=model.device)
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "a mask at a site that there is not": ({"masks": {"no.site": wide}}, "no.site"),
        "a baseline at a site that there is not": ({"baselines": {"no.site": wide[None, None]}}, "no.site"),
        "scales of a norm that there is not": ({"norm_scales": {"no.norm": one}}, "no.norm"),
        "a capture that there is not": ({"capture": ("no.site",)}, "no.site"),
        f"a mask of {at.size + 1} nodes at {site}, which has {at.size}": ({"masks": {site: wide}}, site),
    }
    if at.size > 1:
        wrong[f"a mask of 1 node at {site}, which has {at.size}"] = ({"masks": {site: wide[:, :1]}}, site)
    for what, (levers, name) in wrong.items():
        found = _refusal(probe, levers, name)
        if found:
            yield Fault(f"ran with {what}", f"a ValueError that names {name}", found)


def _refusal(probe: Probe, levers: dict[str, Any], name: str) -> str:
    """What is wrong with how it was refused; empty where nothing is."""
    try:
        probe.run(**levers)
    except ValueError as error:
        return "" if name in str(error) else f"one that does not: {error}"
    except Exception as error:
        return f"a {type(error).__name__}"
    return "it ran"


LAWS = (
    declares_its_sites,
    declares_its_name_and_fingerprint,
    declares_its_device_dtype_and_tokenizer,
    computes_in_its_dtype_on_its_device,
    refuses_unknown_names_and_wrong_sizes,
)
