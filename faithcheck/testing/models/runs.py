"""Laws of `Model.run` that are about its arguments: which runs are the same one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from faithcheck.run_names import pattern_names
from faithcheck.testing.models.probe import Fault, Probe

_SAME = "the same logits"


def gives_finite_logits_of_the_right_shape(probe: Probe) -> Iterator[Fault]:
    """Run prompts."""
    logits = probe.bare.logits
    shape = (1, *probe.tokens.shape, logits.shape[-1])
    if logits.shape != shape or not logits.isfinite().all():
        what = f"shape {tuple(logits.shape)}" if logits.shape != shape else "a logit that is not finite"
        yield Fault("run prompts", f"finite logits float[member, prompt, pos, token], {shape}", what)


def captures_in_the_right_shape(probe: Probe) -> Iterator[Fault]:
    """Captured every site and norm."""
    sizes = {site: (at.size,) for site, at in probe.model.sites.items()} | dict.fromkeys(probe.model.norms, ())
    for name, size in sizes.items():
        shape, found = (1, *probe.tokens.shape, *size), probe.bare.captured[name]
        if found.shape != shape:
            yield Fault(f"captured {name}", f"shape {shape}", f"shape {tuple(found.shape)}")


def masks_that_are_all_on_change_nothing(probe: Probe) -> Iterator[Fault]:
    """Ran with every mask 1, and baselines."""
    masks = {site: torch.ones_like(mask) for site, mask in probe.masks().items()}
    for what, baselines in (("", None), (" and baselines", probe.baselines())):
        found = probe.apart(probe.logits(masks=masks, baselines=baselines), probe.bare.logits)
        if found:
            advice = "x <- m x + (1 - m) b: nothing of b where m is 1"
            yield Fault(f"ran with every mask 1{what}", _SAME, found, (advice,))


def baselines_without_masks_change_nothing(probe: Probe) -> Iterator[Fault]:
    """Ran with baselines and no masks."""
    found = probe.apart(probe.logits(baselines=probe.baselines()), probe.bare.logits)
    if found:
        yield Fault("ran with baselines and no masks", _SAME, found, ("a site that no mask names is all ones",))


def a_site_without_a_baseline_has_baseline_0(probe: Probe) -> Iterator[Fault]:
    """Ran with masks, and with baselines of 0."""
    zeros = {site: torch.zeros_like(baseline) for site, baseline in probe.baselines().items()}
    found = probe.apart(probe.logits(masks=probe.masks()), probe.logits(masks=probe.masks(), baselines=zeros))
    if found:
        yield Fault("ran with masks alone, and with baselines of 0", _SAME, found)


def masks_over_nodes_are_the_same_at_every_prompt_and_position(probe: Probe) -> Iterator[Fault]:
    """Ran with masks [member, node], and with the same over prompts and positions."""
    masks, (prompts, width) = probe.masks(2), probe.tokens.shape
    for shape in ((1, 1), (prompts, 1), (prompts, width)):
        wide = {site: mask[:, None, None].expand(-1, *shape, -1) for site, mask in masks.items()}
        found = probe.apart(probe.logits(masks=wide), probe.logits(masks=masks))
        if found:
            yield Fault(
                f"ran with masks [member, node], and as [member, {shape[0]}, {shape[1]}, node]",
                _SAME,
                found,
                ("give a mask of two axes the axes of prompts and positions: mask[:, None, None, :]",),
            )


def members_are_separate_runs(probe: Probe) -> Iterator[Fault]:
    """Ran three members at once, and one by one."""
    masks, baselines = probe.masks(3), probe.baselines(3)
    scales = probe.scales(3)
    together = probe.logits(masks=masks, baselines=baselines, norm_scales=scales)
    for member in range(3):
        masks_, baselines_, scales_ = (
            {name: value[member : member + 1] for name, value in lever.items()} for lever in (masks, baselines, scales)
        )
        alone = probe.logits(masks=masks_, baselines=baselines_, norm_scales=scales_)
        found = probe.apart(together[member : member + 1], alone)
        if found:
            yield Fault(f"ran member {member} with two others, and alone", _SAME, found)


def levers_broadcast(probe: Probe) -> Iterator[Fault]:
    """Ran three members with levers of one member, prompt or position, and with the same spread over all of them."""
    masks, baselines, scales = probe.masks(3), probe.baselines(), probe.scales()
    first = next(iter(masks))
    for lever, shape, given in (
        ("masks", "[1, node] at the first site", {**masks, first: masks[first][:1]}),
        ("masks", "[member, 1, 1, node]", {site: mask[:, None, None] for site, mask in masks.items()}),
        ("baselines", "[node]", {site: baseline[0, 0, 0] for site, baseline in baselines.items()}),
        ("baselines", "[1, 1, 1, node]", {site: baseline[:, :1, :1] for site, baseline in baselines.items()}),
        ("baselines", "[1, prompt, pos, node]", baselines),
        ("norm_scales", "[1, prompt, pos]", scales),
    ):
        spread = {name: _spread(probe, lever, value) for name, value in given.items()}
        ways: list[dict[str, Any]] = [{"masks": masks, lever: value} for value in (given, spread)]
        few, all_ = (probe.logits(**way) for way in ways)
        found = probe.apart(few, all_)
        if found:
            done = f"ran three members with {lever} {shape}, and with the same over members, prompts and positions"
            yield Fault(
                done, _SAME, found, ("a lever has its own axes: all but a mask of two broadcast from the right",)
            )


def _spread(probe: Probe, lever: str, value: Tensor) -> Tensor:
    """A lever over three members, and every prompt and position."""
    if lever == "norm_scales":
        return value.expand(3, *probe.tokens.shape)
    value = value[:, None, None] if lever == "masks" and value.dim() == 2 else value
    return value.expand(3, *probe.tokens.shape, -1)


def positions_and_vocab_select_from_all_logits(probe: Probe) -> Iterator[Fault]:
    """Ran every lever with positions=, with vocab=, and with both."""
    model = probe.model
    levers: dict[str, Any] = {"masks": probe.masks(), "baselines": probe.baselines(), "norm_scales": probe.scales()}
    whole = probe.logits(**levers)
    vocab = torch.tensor([whole.shape[-1] - 1, 0, 0], device=model.device)
    asked = {"positions": {"positions": probe.positions}, "vocab": {"vocab": vocab}}
    asked["positions and vocab"] = {**asked["positions"], **asked["vocab"]}
    for what, selection in asked.items():
        expected = probe.answers(whole) if "positions" in selection else whole
        expected = expected[..., vocab] if "vocab" in selection else expected
        found = probe.apart(probe.logits(**levers, **selection), expected)
        if found:
            done = f"ran with masks, baselines, norm scales and {what}"
            yield Fault(done, "that selection of the logits without, in the order asked for", found)


def positions_leave_what_is_captured(probe: Probe) -> Iterator[Fault]:
    """Captured every site, norm and pattern with positions= and without."""
    names = [*probe.model.sites, *probe.model.norms, *pattern_names(probe.model.sites)]
    levers: dict[str, Any] = {"masks": probe.masks(), "capture": names}
    found, whole = (probe.run(**levers, **more).captured for more in ({"positions": probe.positions}, {}))
    for name in names:
        axis = 3 if name.endswith(".attn_pattern") else 2
        one, other = (probe.up_to_the_answer(value[name], axis) for value in (found, whole))
        fault = probe.apart(one, other)
        if fault:
            expected = "the same values up to the answer position"
            yield Fault(f"captured {name} with positions= and without", expected, fault)
            return


def padding_changes_nothing(probe: Probe) -> Iterator[Fault]:
    """Ran shorter prompts with and without two columns of padding at the right."""
    masks, short = probe.masks(), probe.tokens[:, :-2]
    positions = probe.positions.clamp(max=short.shape[1] - 1)
    padded = torch.cat([short, torch.zeros_like(probe.tokens[:, -2:])], 1)
    found = probe.apart(
        probe.logits(padded, positions=positions, masks=masks),
        probe.logits(short, positions=positions, masks=masks),
    )
    if found:
        yield Fault(
            "ran prompts as they are, and with two columns of token 0 at the right",
            "the same logits at the answer positions",
            found,
            (
                "no padding mask is needed: in a causal model nothing sees what is later",
                "count positions from the left",
            ),
        )


def splitting_a_batch_changes_nothing(probe: Probe) -> Iterator[Fault]:
    """Ran the prompts at once, and in two parts."""
    masks = probe.masks(2)
    parts = [probe.logits(probe.tokens[part], masks=masks) for part in (slice(0, 1), slice(1, None))]
    found = probe.apart(torch.cat(parts, 1), probe.logits(masks=masks))
    if found:
        yield Fault("ran the prompts at once, and in two parts", _SAME, found)


def later_tokens_change_nothing_earlier(probe: Probe) -> Iterator[Fault]:
    """Changed the last token of every prompt."""
    other = probe.tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % probe.bare.logits.shape[-1]
    found = probe.apart(probe.logits(other)[:, :, :-1], probe.bare.logits[:, :, :-1])
    if found:
        yield Fault("changed the last token of every prompt", "the same logits before it", found)


BASICS = (gives_finite_logits_of_the_right_shape, captures_in_the_right_shape)
"""Without these no other law can be tried."""

LAWS = (
    masks_that_are_all_on_change_nothing,
    baselines_without_masks_change_nothing,
    a_site_without_a_baseline_has_baseline_0,
    masks_over_nodes_are_the_same_at_every_prompt_and_position,
    members_are_separate_runs,
    levers_broadcast,
    positions_and_vocab_select_from_all_logits,
    positions_leave_what_is_captured,
    padding_changes_nothing,
    splitting_a_batch_changes_nothing,
    later_tokens_change_nothing_earlier,
)
