"""Laws on the gradients of masks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from faithcheck.testing.models.probe import TOLERANCE, Fault, Probe

STEPS = (1e-1, 1e-2, 1e-3, 1e-4)
"""Steps of the finite differences. The best one is compared: long ones bend, short ones round, one in between may cross
a change of an activation top-k."""
_SHARE = 0.02
"""How far a derivative may be from the best finite difference, relative to it."""


def masks_have_gradients(probe: Probe) -> Iterator[Fault]:
    """Asked for the gradients of masks over nodes."""
    masks = _wanting(probe)
    logits = probe.model.run(probe.tokens, positions=probe.positions, masks=masks).logits
    if not logits.requires_grad:
        yield Fault(
            "ran with masks that want gradients",
            "logits with a graph",
            "logits without",
            ("run must not compute under torch.no_grad()", "masks must not be detached or copied into new tensors"),
        )
        return
    grads = torch.autograd.grad(logits.sum(), list(masks.values()), allow_unused=True)
    for site, grad in zip(masks, grads, strict=True):
        if grad is None or not grad.isfinite().all():
            found = "none" if grad is None else "a number that is not finite"
            yield Fault(f"asked for the gradient of the mask at {site}", "finite numbers", found)


def gradients_are_finite_differences(probe: Probe) -> Iterator[Fault]:
    """Compared the gradients of masks with finite differences."""
    if probe.model.dtype not in (torch.float32, torch.float64):
        return
    masks, weights = _wanting(probe), probe.uniform(7, *probe.answers(probe.bare.logits).shape).double() - 0.5
    value = _weighted(probe, masks, weights)
    if not value.requires_grad:
        return
    grads = torch.autograd.grad(value, list(masks.values()), allow_unused=True)
    still = {site: mask.detach() for site, mask in masks.items()}
    rounding = 100 * torch.finfo(probe.model.dtype).eps * float(value.detach().abs() + weights.abs().sum())
    for seed, (site, grad) in enumerate(zip(masks, grads, strict=True)):
        direction = 2 * probe.uniform(100 + seed, *still[site].shape) - 1
        slope = 0.0 if grad is None else float((grad * direction).sum())
        differences = {step: _difference(probe, still, site, step * direction, weights) / step for step in STEPS}
        off = min(abs(slope - d) - _SHARE * abs(d) - rounding / step for step, d in differences.items())
        if off > 0:
            shown = ", ".join(f"{d:.4g}" for d in differences.values())
            yield Fault(
                f"compared the gradient of the mask at {site} with finite differences along one direction",
                f"one of {shown} (steps of {', '.join(f'{step:g}' for step in STEPS)})",
                f"{slope:.4g}",
                ("a mask's gradient is (x - b) dL/dx, summed over prompts and positions", "is anything detached?"),
            )


def a_baseline_that_is_the_value_has_gradient_0(probe: Probe) -> Iterator[Fault]:
    """Asked for the gradients of masks of 1, with what is captured at each site as its baseline, and without."""
    values = {site: probe.bare.captured[site] for site in probe.model.sites}
    without, with_own = (_slopes_at_1(probe, baselines) for baselines in (None, values))
    for site in without:
        largest = float(without[site].abs().max())
        if float(with_own[site].abs().max()) > TOLERANCE[probe.model.dtype] * max(1.0, largest):
            yield Fault(
                f"asked for the gradient of the mask at {site}, with what is captured there as baseline",
                "0, for a mask's gradient is (x - b) dL/dx",
                f"numbers up to {float(with_own[site].abs().max()):.3g}",
                ("m x + (1 - m) b: is the mask detached in one of the two terms?",),
            )


def _slopes_at_1(probe: Probe, baselines: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """{site: float[1, node]}: the gradients of a sum of logits with respect to masks of 1; 0 where there are none."""
    masks = {site: torch.ones_like(mask).requires_grad_() for site, mask in probe.masks().items()}
    logits = probe.model.run(probe.tokens, positions=probe.positions, masks=masks, baselines=baselines).logits
    weights = probe.uniform(7, *logits.shape) - 0.5
    if not logits.requires_grad:
        return {}
    grads = torch.autograd.grad((weights * logits).sum(), list(masks.values()), allow_unused=True)
    return {s: torch.zeros_like(m) if g is None else g for (s, m), g in zip(masks.items(), grads, strict=True)}


def _wanting(probe: Probe) -> dict[str, Tensor]:
    """Masks between 0.5 and 1."""
    return {site: (1 - mask / 2).requires_grad_() for site, mask in probe.masks().items()}


def _weighted(probe: Probe, masks: dict[str, Tensor], weights: Tensor) -> Tensor:
    """A sum of logits at the answers, in float64."""
    return (weights * probe.model.run(probe.tokens, positions=probe.positions, masks=masks).logits.double()).sum()


def _difference(probe: Probe, masks: dict[str, Tensor], site: str, move: Tensor, weights: Tensor) -> float:
    """Half the difference between the values a move further and a move back."""
    with torch.no_grad():
        up, down = (_weighted(probe, {**masks, site: masks[site] + s * move}, weights) for s in (1, -1))
    return float(up - down) / 2


LAWS = (masks_have_gradients, gradients_are_finite_differences, a_baseline_that_is_the_value_has_gradient_0)
