"""Laws on what masks, baselines and norm scales do at each site and norm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from faithcheck.testing.models.probe import Fault, Probe

_HOOK = "is the value written back where the model reads it, for every position and member?"


def a_mask_mixes_the_value_with_the_baseline(probe: Probe) -> Iterator[Fault]:
    """At each site: ran with mask m and baseline b, and with mask 0 and baseline m x + (1 - m) b."""
    for seed, (site, x) in enumerate(_values(probe)):
        m, b = probe.uniform(seed, *x.shape), probe.baseline(site)
        mixed = probe.logits(masks={site: m}, baselines={site: b})
        replaced = probe.logits(masks={site: torch.zeros_like(m)}, baselines={site: m * x + (1 - m) * b})
        found = probe.apart(mixed, replaced)
        if found:
            yield Fault(
                f"ran with mask m and baseline b at {site}, and with mask 0 and baseline m x + (1 - m) b",
                "the same logits, x being what is captured there",
                found,
                ("x is the value after the model's own activation top-k, q and k before rotary", _HOOK),
            )


def a_mask_of_0_replaces_the_value(probe: Probe) -> Iterator[Fault]:
    """At each site: ran with mask 0 and a baseline."""
    for site, x in _values(probe):
        zero = {site: torch.zeros_like(x)}
        if torch.equal(probe.logits(masks=zero, baselines={site: probe.baseline(site)}), probe.bare.logits):
            yield Fault(
                f"ran with mask 0 and a random baseline at {site}",
                "other logits than the model's",
                "the very same",
                (_HOOK, "a site that nothing in the model reads is no site: leave it out"),
            )
        found = probe.apart(probe.logits(masks=zero, baselines={site: x}), probe.bare.logits)
        if found:
            yield Fault(
                f"ran with mask 0 at {site} and its own captured value as baseline", "the model's logits", found
            )


def what_is_captured_is_the_value_before_the_mask(probe: Probe) -> Iterator[Fault]:
    """At each site: masked it, and captured it and all sites before it."""
    earlier: list[str] = []
    for site, x in _values(probe):
        earlier.append(site)
        masks, baselines = {site: torch.zeros_like(x)}, {site: probe.baseline(site)}
        captured = probe.run(masks=masks, baselines=baselines, capture=earlier).captured
        for name in earlier:
            found = probe.apart(captured[name], probe.bare.captured[name])
            if found:
                yield Fault(
                    f"masked {site} and captured {name}",
                    "the value without the mask: sites are in order of execution, and captured before they are masked",
                    found,
                    ("capture in front of the intervention", "order model.sites as they are computed"),
                )
                break


def what_is_captured_is_of_the_run_with_its_masks(probe: Probe) -> Iterator[Fault]:
    """Masked every site and captured it; then, site by site, gave the mixture of what was captured as the baseline."""
    sites = tuple(probe.model.sites)
    masks, baselines, scales = probe.masks(), probe.baselines(), probe.scales()
    run = probe.run(masks=masks, baselines=baselines, norm_scales=scales, capture=sites)
    for site in sites:
        x, m, b = run.captured[site], masks[site][:, None, None], baselines[site]
        levers: dict[str, Any] = {
            "masks": {**masks, site: torch.zeros_like(x)},
            "baselines": {**baselines, site: m * x + (1 - m) * b},
            "norm_scales": scales,
        }
        found = probe.apart(probe.logits(**levers), run.logits)
        if found:
            yield Fault(
                f"ran with masks m and baselines b everywhere, and with mask 0 and baseline m x + (1 - m) b at {site}",
                "the same logits, x being what is captured there under these masks",
                found,
                ("what is captured is of this run, with its masks at other sites", _HOOK),
            )


def own_norm_scales_change_nothing(probe: Probe) -> Iterator[Fault]:
    """Gave every norm the scales that it divided by."""
    norms = probe.model.norms
    for norm in norms:
        if not bool((probe.bare.captured[norm] > 0).all()):
            yield Fault(f"captured the scales of {norm}", "numbers above 0", "a scale that is not")
    masked = {"masks": probe.masks(), "baselines": probe.baselines()}
    for what, levers in (("", {}), (" with positions=", {"positions": probe.positions}), (" under masks", masked)):
        run = probe.run(capture=norms, **levers)
        scales = {norm: run.captured[norm] for norm in norms}
        found = probe.apart(probe.logits(norm_scales=scales, **levers), run.logits)
        if found:
            yield Fault(
                f"gave every norm the scales that were captured there{what}",
                "the same logits",
                found,
                (
                    "a scale is what is divided by (the root, eps included), not its inverse or its square",
                    "what is captured is of this run, with its masks",
                ),
            )


def norm_scales_are_used(probe: Probe) -> Iterator[Fault]:
    """Doubled the scales of each norm, and captured them, with and without masks."""
    gentle = {site: 1 - mask / 2 for site, mask in probe.masks().items()}  # that leave something for norms to scale
    for under, masks in (("", None), (" under masks", gentle)):
        without = probe.logits(masks=masks)
        for norm in probe.model.norms:
            doubled = 2 * probe.bare.captured[norm]
            run = probe.run(masks=masks, norm_scales={norm: doubled}, capture=[norm])
            if torch.equal(run.logits, without):
                advice = "is the norm's name right?"
                yield Fault(f"doubled the scales of {norm}{under}", "other logits", "the very same", (advice,))
            found = probe.apart(run.captured[norm], doubled)
            if found:
                yield Fault(f"gave {norm} scales{under}, and captured them", "the scales that it divided by", found)


def _values(probe: Probe) -> Iterator[tuple[str, Tensor]]:
    """Each site with its captured value, float[1, prompt, pos, node]."""
    for site in probe.model.sites:
        yield site, probe.bare.captured[site]


LAWS = (
    a_mask_mixes_the_value_with_the_baseline,
    a_mask_of_0_replaces_the_value,
    what_is_captured_is_the_value_before_the_mask,
    what_is_captured_is_of_the_run_with_its_masks,
    own_norm_scales_change_nothing,
    norm_scales_are_used,
)
