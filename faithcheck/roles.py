"""A node's activation in the circuit beside its activation in the model: agreement, and role.

Agreement is over the positions that reach the answer (`causal`), each prompt counting the same. A role is the node's
standardised effect of a task variable at a role-bearing position (the last token, a name): the difference of its mean
activation between two levels, in standard deviations over all prompts at that position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from faithcheck.causal import visible
from faithcheck.prompts import PromptSet
from faithcheck.role_changes import role_changes

if TYPE_CHECKING:
    from faithcheck.subject import Subject

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

AGREES = 0.5
"""Least Pearson r of a consistent node."""
BEARS = 0.5
"""A position bears a role for a node where it holds at least this part of an even share of the node's causal weight."""
_CONSTANT = 1e-9
"""Variance over mean square below which an activation is constant: float32 noise."""


@dataclass(frozen=True)
class Role:
    """Activations at one role-bearing position, float[node, prompt], and the two groups of prompts it contrasts."""

    label: str
    circuit: Floats
    model: Floats
    bears: Flags
    one: Flags
    other: Flags


@dataclass(frozen=True)
class NodeRecords:
    """Per node and prompt, weighted over positions: x the activation in the circuit, y in the model; [node, prompt]."""

    x: Floats
    y: Floats
    xx: Floats
    yy: Floats
    xy: Floats
    same_sign: Floats
    roles: tuple[Role, ...]

    def judge(self, weights: Floats) -> dict[str, npt.NDArray]:
        """Under prompt weights float[draw, prompt]: r, sign_agreement, fvu, flips, vanishes, consistent; [draw, node].

        fvu is E(x - y)^2 / Var(y), unbounded. A node that is constant in both is consistent where the signs agree;
        one that is constant in one only is not.
        """
        x, y, xx, yy, xy = (weights @ rows.T for rows in (self.x, self.y, self.xx, self.yy, self.xy))
        vx, vy = np.maximum(xx - x * x, 0.0), np.maximum(yy - y * y, 0.0)
        still_x, still_y = vx <= _CONSTANT * xx, vy <= _CONSTANT * yy
        with np.errstate(divide="ignore", invalid="ignore"):
            r = np.where(still_x | still_y, 0.0, (xy - x * y) / np.sqrt(vx * vy))
            fvu = np.where(still_y, np.inf, (xx - 2 * xy + yy) / vy)
        fvu = np.where(still_y & (xx - 2 * xy + yy <= _CONSTANT * yy), 0.0, fvu)
        flips, vanishes = self._role_changes(weights, r.shape)
        alike = np.where(still_x & still_y, np.sign(x) == np.sign(y), ~still_x & ~still_y & (r >= AGREES))
        return {
            "r": r,
            "sign_agreement": weights @ self.same_sign.T,
            "fvu": fvu,
            "flips": flips,
            "vanishes": vanishes,
            "consistent": alike & ~flips & ~vanishes,
        }

    def effects(self, weights: Floats) -> dict[str, Floats]:
        """The effects in circuit and in model under one row of prompt weights, float[1, prompt], of each role:
        {side: float[node, role]}, NaN where a node does not bear it."""
        sides = {}
        for side in ("circuit", "model"):
            rows = [effect(getattr(role, side), weights, role.one, role.other)[0] for role in self.roles]
            sides[side] = np.where(np.array([role.bears for role in self.roles]), rows, np.nan).T
        return sides

    def _role_changes(self, weights: Floats, shape: tuple[int, ...]) -> tuple[Flags, Flags]:
        flips, vanishes = np.zeros(shape, bool), np.zeros(shape, bool)
        for role in self.roles:
            on = role.bears
            circuit, model = (effect(v[on], weights, role.one, role.other) for v in (role.circuit, role.model))
            flipped, vanished = role_changes(circuit, model)
            flips[:, on] |= flipped
            vanishes[:, on] |= vanished
        return flips, vanishes


def effect(values: Floats, weights: Floats, one: Flags, other: Flags) -> Floats:
    """The standardised effect float[draw, node] of values float[node, prompt]: difference of means over the overall SD.

    0 where the values are constant, or a draw has no prompt of one group.
    """
    mean, square = weights @ values.T, weights @ np.square(values).T
    variance = np.maximum(square - mean * mean, 0.0)
    groups = [(weights[:, g] @ values[:, g].T, weights[:, g].sum(1, keepdims=True)) for g in (one, other)]
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = groups[0][0] / groups[0][1] - groups[1][0] / groups[1][1]
        standardised = difference / np.sqrt(variance)
    empty = (groups[0][1] == 0) | (groups[1][1] == 0)
    return np.where((variance <= _CONSTANT * square) | empty, 0.0, standardised)


def node_records(subject: Subject) -> NodeRecords:
    """The records of every kept node on the held-out prompts, in the order of `compiled.nodes`.

    Raises ValueError where an activation in circuit or model is no finite number.
    """
    prompts = subject.bench.prompts("test")
    moments, places = [], []
    for site, w in subject.positions.items():
        a, b = _compared(subject, site)
        values = (a, b, a * a, b * b, a * b, (a.sign() == b.sign()).double())
        moments.append([(w.double() * value).sum(1).T.cpu().numpy() for value in values])
        places.append([_at_place(prompts, place, a, b, w) for place in prompts.roles.values()])
    x, y, xx, yy, xy, same_sign = (np.concatenate(rows) for rows in zip(*moments, strict=True))
    return NodeRecords(x, y, xx, yy, xy, same_sign, tuple(_roles(prompts, places)))


def _compared(subject: Subject, site: str) -> tuple[Tensor, Tensor]:
    """The kept nodes of a site in the circuit and in the model, float64[prompt, pos, kept node]."""
    prompts, captured = subject.bench.prompts("test"), subject.bench.model_run("test").captured
    kept = subject.circuit.keep[site].nonzero().flatten().to(subject.bench.model.device)
    return _whole(subject.activations, site, prompts).double(), _whole(captured, site, prompts)[..., kept].double()


def _whole(captured: Mapping[str, Tensor], site: str, prompts: PromptSet) -> Tensor:
    """float[prompt, pos, node] of a captured site with one member, 0 in the padding."""
    value = captured[site][0].expand(len(prompts), prompts.tokens.shape[1], -1)
    value = torch.where(visible(prompts)[:, :, None] > 0, value, 0.0)
    if not value.isfinite().all():
        raise ValueError(f"an activation at {site} is not finite")
    return value


def _at_place(prompts: PromptSet, place: Tensor, x: Tensor, y: Tensor, w: Tensor) -> tuple[Floats, Floats, Flags]:
    """A site at a role-bearing position: activations in circuit and model, float[node, prompt], and who bears it."""
    rows = torch.arange(len(prompts), device=x.device)
    circuit, model = (v[rows, place].T.cpu().numpy() for v in (x, y))
    even = 1 / (prompts.positions + 1)
    bears = ((w[rows, place].double() / even[:, None]).mean(0) >= BEARS).cpu().numpy()
    return circuit, model, bears


def _roles(prompts: PromptSet, places: Sequence[Sequence[tuple[Floats, Floats, Flags]]]) -> Iterator[Role]:
    """The roles of all nodes, from what every site is at every place."""
    for place, sites in zip(prompts.roles, zip(*places, strict=True), strict=True):
        circuit, model, bears = (np.concatenate(parts) for parts in zip(*sites, strict=True))
        for what, one, other in _contrasts(prompts):
            yield Role(f"{what}, at {place}", circuit, model, bears, one, other)


def _contrasts(prompts: PromptSet) -> Iterator[tuple[str, Flags, Flags]]:
    """The groups of prompts that a variable's levels make, and what they are called: two levels against each other, of
    more each against the rest."""
    for name, level in prompts.variables.items():
        index = level.cpu().numpy()
        words = prompts.levels[name]
        for one, word in enumerate(words if len(words) > 2 else words[:1]):
            yield f"{name}: {word}, not {words[1] if len(words) == 2 else 'another'}", index == one, index != one
