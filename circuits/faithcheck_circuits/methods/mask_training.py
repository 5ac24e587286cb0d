"""Training node masks: several problems at once, full gradients now and then, the kept nodes only in between.

After a hundred steps a few percent of the nodes are on. A full step computes every node, and so can revive one;
a compact step runs the model restricted to the nodes that were on at the last full step, and costs what they cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faithcheck.circuit import Convergence
from faithcheck.losses import prompt_losses
from faithcheck.method import Problem
from faithcheck.model import Model
from faithcheck.scales import norm_scales
from faithcheck.slots import slots
from faithcheck_circuits.methods.workers import side_by_side

if TYPE_CHECKING:
    from faithcheck_circuits.methods.sparse_prune import SparsePrune

COMPACT_BELOW = 0.3
"""A member takes compact steps only while less than this share of its nodes is on."""
ALIKE = 1.5
"""Members run compact steps together while the largest has at most this many times the nodes of the smallest."""


@dataclass(frozen=True)
class Trained:
    """The threshold parameters of one run, {site: float[node]}, and its train loss and kept nodes at every step."""

    scores: dict[str, Tensor]
    factor: float
    losses: Tensor
    nodes: Tensor

    def convergence(self, target: float) -> Convergence:
        """Flattened: in the last quarter of the steps the loss is at most 5 % below the lower one of the second and the
        third quarter, and above 1.5 x target, while a tenth of all nodes or more is still on. A run of under 100 steps,
        or one that has not turned half of the nodes off, is hardly trained: its loss is flat for no good reason.
        """
        quarter = max(1, len(self.losses) // 4)
        after = self.losses[-quarter:].mean()
        before = min(self.losses[-2 * quarter : -quarter].mean(), self.losses[quarter : 2 * quarter].mean())
        total = sum(len(s) for s in self.scores.values())
        flat = bool(after > 0.95 * before) and float(after) > 1.5 * target
        nodes = int(self.nodes[-1])
        trained = len(self.losses) >= 100 and nodes <= total / 2
        return Convergence(float(after), nodes, flat and trained and nodes >= total / 10)


class _Heaviside(torch.autograd.Function):
    """1 where tau >= 0, else 0; backward, the derivative of sigmoid(tau / temperature) (Gao et al. 2025, A.5)."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, tau: Tensor, temperature: float) -> Tensor:
        ctx.save_for_backward(tau)
        ctx.temperature = temperature  # type: ignore[attr-defined]
        return (tau >= 0).to(tau.dtype)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad: Tensor) -> tuple[Tensor, None]:
        (tau,) = ctx.saved_tensors  # type: ignore[attr-defined]
        temperature = ctx.temperature  # type: ignore[attr-defined]
        s = torch.sigmoid(tau / temperature)
        return grad[0] * s * (1 - s) / temperature, None


def together(problems: Sequence[Problem]) -> list[list[Problem]]:
    """Problems that can share every batch: same model, prompts, seed, loss, ablation and norms."""
    groups: dict[tuple[object, ...], list[Problem]] = {}
    for p in problems:
        key = (p.model.fingerprint, p.prompts.texts, p.seed, p.loss, p.ablation, p.norms)
        groups.setdefault(key, []).append(p)
    return list(groups.values())


def train_masks(runs: Sequence[tuple[Problem, float]], parameters: SparsePrune.Parameters) -> list[Trained]:
    """Train one mask for each (problem, factor on k_coef); the problems are of one group of `together`.

    On a GPU as many runs as the memory budget allows are the members of one batch. On a CPU a batch of members costs
    about what its members cost one by one, so there each run is a batch of its own, and batches run side by side with
    one thread each, where the model allows that. Weak penalties take longest and controls longer than tasks.
    """
    device, memory = runs[0][0].model.device, runs[0][0].budget.memory
    at_once = max(1, memory // _member_bytes(runs[0][0], parameters.batch))
    width = 1 if device.type == "cpu" else at_once
    batches = [runs[start : start + width] for start in range(0, len(runs), width)]
    workers = min(at_once, torch.get_num_threads()) if device.type == "cpu" else 1
    if not getattr(runs[0][0].model, "concurrent", False):
        workers = 1
    longest_first = sorted(range(len(batches)), key=lambda i: (min(factor for _, factor in batches[i]), -i))
    found = side_by_side([_MaskTraining(batches[i], parameters).train for i in longest_first], workers)
    return [trained for i in range(len(batches)) for trained in found[longest_first.index(i)]]


def _member_bytes(problem: Problem, batch: int) -> int:
    """What one member of a full step holds for the backward pass: about three floats a node, prompt and position."""
    nodes = sum(site.size for site in problem.model.sites.values())
    return 3 * 4 * nodes * batch * problem.prompts.tokens.shape[1]


@dataclass(frozen=True)
class _Group:
    """Members that step together: `rows` int[member] of all members, the model they run on, the flat nodes in its slots
    (int[member, slot]; the number of nodes where a slot is empty), and the slots of each site."""

    rows: Tensor
    model: Model
    active: Tensor
    widths: list[int]


class _MaskTraining:
    """State of one batch of runs: tau and Adam's moments, float[member, node + 1]; the extra column pads."""

    def __init__(self, runs: Sequence[tuple[Problem, float]], parameters: SparsePrune.Parameters):
        self.p, self.problem = parameters, runs[0][0]
        self.factors = [factor for _, factor in runs]
        self.model = self.problem.model
        device = self.model.device
        self.prompts = self.problem.prompts
        self.targets = torch.stack([problem.prompts.targets for problem, _ in runs])
        self.distractors = torch.stack([problem.prompts.distractors for problem, _ in runs])
        self.k_coef = torch.tensor([parameters.k_coef * f for f in self.factors], device=device)[:, None]
        self.sizes = [site.size for site in self.model.sites.values()]
        self.total = sum(self.sizes)
        self.generator = torch.Generator().manual_seed(self.problem.seed)
        noise = torch.randn(self.total, generator=self.generator).to(device, self.model.dtype)
        start = parameters.init_noise_bias + parameters.init_noise_scale * noise
        self.tau = torch.cat([start, start.new_full((1,), -1.0)]).repeat(len(runs), 1).clamp(-1, 1)
        self.mean, self.square, self.count = (torch.zeros_like(self.tau) for _ in range(3))
        frozen = self.problem.norms == "frozen"
        self.scales = norm_scales(self.model, self.prompts) if frozen else None

    def train(self, stopped: Callable[[], bool]) -> list[Trained]:
        losses, nodes = [], []
        for step in range(self.p.steps):
            if stopped():
                raise CancelledError
            full = step % self.p.full_every == 0
            if full:
                groups = [self._whole(torch.arange(len(self.tau), device=self.tau.device))]
            losses.append(self._step(groups, self._batch(), self.p.lr * (1 - step / self.p.steps)))
            nodes.append((self.tau[:, :-1] >= 0).sum(-1))
            if full and self.p.full_every > 1:
                groups = list(self._compact())
        trace, kept = torch.stack(losses, 1).cpu(), torch.stack(nodes, 1).cpu()
        return [
            Trained(self._by_site(self.tau[i, :-1]), factor, trace[i], kept[i]) for i, factor in enumerate(self.factors)
        ]

    def _by_site(self, flat: Tensor) -> dict[str, Tensor]:
        parts = flat.detach().cpu().split(self.sizes)
        return {site: part.clone() for site, part in zip(self.model.sites, parts, strict=True)}

    def _whole(self, rows: Tensor) -> _Group:
        """Members that compute every node."""
        every = torch.arange(self.total, device=rows.device).expand(len(rows), -1)
        return _Group(rows, self.model, every, self.sizes)

    def _compact(self) -> Iterator[_Group]:
        """Until the next full step: the nodes that are on now, for members of like size together."""
        on = self.tau[:, :-1] >= 0
        counts = on.sum(1)
        order = counts.argsort(stable=True)
        few = counts[order] < COMPACT_BELOW * self.total
        if not hasattr(self.model, "restrict"):
            few = torch.zeros_like(few)
        for rows in _alike(order[few], counts):
            yield self._restricted(rows, on[rows])
        if not few.all():
            yield self._whole(order[~few])

    def _restricted(self, rows: Tensor, on: Tensor) -> _Group:
        parts = dict(zip(self.model.sites, on.split(self.sizes, dim=1), strict=True))
        model = self.model.restrict(parts, self.problem.ablation, trainable=True)
        offsets = torch.tensor([0, *self.sizes]).cumsum(0).tolist()
        active = []
        for part, offset in zip(parts.values(), offsets, strict=False):
            node, filled = slots(part)
            active.append(torch.where(filled, node + offset, self.total))
        return _Group(rows, model, torch.cat(active, 1), [a.shape[1] for a in active])

    def _batch(self) -> Tensor:
        drawn = torch.randint(len(self.prompts), (self.p.batch,), generator=self.generator)
        return drawn.to(self.tau.device)

    def _step(self, groups: Sequence[_Group], batch: Tensor, lr: float) -> Tensor:
        """One AdamW step (Loshchilov and Hutter 2019) on each group's active nodes; the task loss, float[member]."""
        losses = self.tau.new_empty(len(self.tau))
        for group in groups:
            tau = self.tau[group.rows].gather(1, group.active).requires_grad_()
            mask: Tensor = _Heaviside.apply(tau, self.p.heaviside_temp)
            loss = self._task_loss(group, mask, batch)
            (loss.sum() + (self.k_coef[group.rows] * mask).sum()).backward()
            assert tau.grad is not None
            grad = tau.grad.masked_fill(group.active == self.total, 0.0)
            self._update(group, tau.detach(), _clip_rms(grad, self.total), lr)
            losses[group.rows] = loss.detach()
        return losses

    def _task_loss(self, group: _Group, mask: Tensor, batch: Tensor) -> Tensor:
        masks = dict(zip(self.model.sites, mask.split(group.widths, dim=1), strict=True))
        scales = None if self.scales is None else {n: s[:, batch] for n, s in self.scales.items()}
        logits = group.model.run(
            self.prompts.tokens[batch],
            positions=self.prompts.positions[batch],
            masks=masks,
            norm_scales=scales,
        ).logits
        targets, distractors = (t[group.rows][:, batch] for t in (self.targets, self.distractors))
        return prompt_losses(logits, targets, distractors, self.problem.loss).mean(-1)

    def _update(self, group: _Group, tau: Tensor, grad: Tensor, lr: float) -> None:
        beta1, beta2, rows = 0.9, self.p.beta2, group.rows
        mean = self.mean[rows].gather(1, group.active) * beta1 + (1 - beta1) * grad
        square = self.square[rows].gather(1, group.active) * beta2 + (1 - beta2) * grad.square()
        count = self.count[rows].gather(1, group.active) + 1
        step = mean / (1 - beta1**count) / ((square / (1 - beta2**count)).sqrt() + 1e-8)
        tau = (tau * (1 - lr * self.p.weight_decay) - lr * step).clamp(-1, 1)
        for state, value in ((self.tau, tau), (self.mean, mean), (self.square, square), (self.count, count)):
            state[rows[:, None], group.active] = value
        self.tau[:, -1] = -1.0


def _alike(order: Tensor, counts: Tensor) -> Iterator[Tensor]:
    """Members in ascending order of their nodes on, cut where one has more than ALIKE times the first of its group."""
    start = 0
    sizes = counts[order].tolist()
    for i, size in enumerate(sizes):
        if size > ALIKE * max(sizes[start], 1):
            yield order[start:i]
            start = i
    if start < len(sizes):
        yield order[start:]


def _clip_rms(grad: Tensor, total: int) -> Tensor:
    """Each member's gradient scaled down to a root mean square of at most 1 over all nodes."""
    rms = (grad.square().sum(1, keepdim=True) / total).sqrt()
    return grad / rms.clamp(min=1)
