"""Training node masks: several runs at once, full gradients now and then, in between those of few nodes.

After a dozen steps most nodes are off. A full step computes every node; a compact step runs the model restricted to a
member's active nodes, and costs what they cost (`active_set.py` says when is what).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faithcheck.baselines import baselines_on
from faithcheck.losses import prompt_losses
from faithcheck.method import Problem
from faithcheck.model import Model
from faithcheck.slots import slots
from faithcheck_circuits.methods.active_set import ActiveSet
from faithcheck_circuits.methods.drawn import Drawn, Minibatch
from faithcheck_circuits.methods.heaviside import heaviside
from faithcheck_circuits.methods.trained import Trained

if TYPE_CHECKING:
    from faithcheck_circuits.methods.sparse_prune import SparsePrune


@dataclass(frozen=True)
class Group:
    """Members that step together, of all `members`, and as `rows` int[member]: their prompts by the step, the model
    they run on, the flat nodes in its slots (int[member, slot]; the number of nodes where a slot is empty), and the
    slots of each site."""

    members: Sequence[int]
    rows: Tensor
    prompts: Callable[[int], Minibatch]
    model: Model
    active: Tensor
    widths: list[int]


class MaskTraining:
    """State of one batch of runs: tau and Adam's moments, float[member, node + 1]; the extra column pads."""

    def __init__(self, runs: Sequence[tuple[Problem, float]], parameters: SparsePrune.Parameters):
        self.p, self.problem = parameters, runs[0][0]
        self.factors = [factor for _, factor in runs]
        self.model = self.problem.model
        self.k_coef = torch.tensor([parameters.k_coef * f for f in self.factors], device=self.model.device)[:, None]
        self.sizes = [site.size for site in self.model.sites.values()]
        self.total = sum(self.sizes)
        self.drawn = Drawn([problem for problem, _ in runs], self.total, parameters.steps, parameters.batch)
        start = parameters.init_noise_bias + parameters.init_noise_scale * self.drawn.noise.to(self.model.dtype)
        self.tau = torch.cat([start, torch.full_like(start[:, :1], -1.0)], 1).clamp(-1, 1)
        self.mean, self.square, self.count = (torch.zeros_like(self.tau) for _ in range(3))

    def train(self) -> list[Trained]:
        """What every run gives."""
        losses, nodes = [], []
        compiles = hasattr(self.model, "restrict") and self.problem.ablation.kind == "zero"
        rarely = self.p.full_every if compiles else 1
        schedule, whole, compact = ActiveSet(self.tau[:, :-1], rarely), cache(self._whole), list[Group]()
        for step in range(self.p.steps):
            due, lr = schedule.due(step), self.p.lr * (1 - step / self.p.steps)
            loss = self.tau.new_empty(len(self.tau))
            for group in whole(tuple(due)):
                self._step(group, group.prompts(step), lr, loss, steps=schedule.steps_for(step, group.rows))
            for group in compact:
                self._step(group, group.prompts(step), lr, loss, idle=due)
            if schedule.after_full(step, due, self.tau[:, :-1], lr):
                compact = [self._restricted(members, schedule.active) for members in schedule.groups()]
            losses.append(loss)
            nodes.append((self.tau[:, :-1] >= 0).sum(-1))
        trace, kept = torch.stack(losses, 1).cpu(), torch.stack(nodes, 1).cpu()
        return [
            Trained(self._by_site(self.tau[i, :-1]), factor, trace[i], kept[i]) for i, factor in enumerate(self.factors)
        ]

    def _by_site(self, flat: Tensor) -> dict[str, Tensor]:
        parts = flat.detach().cpu().split(self.sizes)
        return {site: part.clone() for site, part in zip(self.model.sites, parts, strict=True)}

    def _whole(self, members: Sequence[int]) -> list[Group]:
        """Members that compute every node: on a CPU those on the same prompts, which share what these begin with."""
        groups = self.drawn.alike(members) if self.tau.device.type == "cpu" else [members]
        every = torch.arange(self.total, device=self.tau.device)
        return [self._group(some, self.model, every.expand(len(some), -1), self.sizes) for some in groups if some]

    def _restricted(self, members: Sequence[int], active: Tensor) -> Group:
        """Members that compute their active nodes, bool[member of all, node]."""
        parts = dict(zip(self.model.sites, active[members].split(self.sizes, dim=1), strict=True))
        model = self.model.restrict(parts, self.problem.ablation, trainable=True)
        offsets = torch.tensor([0, *self.sizes]).cumsum(0).tolist()
        flat = []
        for part, offset in zip(parts.values(), offsets, strict=False):
            node, filled = slots(part)
            flat.append(torch.where(filled, node + offset, self.total))
        return self._group(members, model, torch.cat(flat, 1), [f.shape[1] for f in flat])

    def _group(self, members: Sequence[int], model: Model, active: Tensor, widths: list[int]) -> Group:
        rows = torch.tensor(members, device=self.tau.device)
        return Group(members, rows, self.drawn.of(members), model, active, widths)

    def _step(
        self,
        group: Group,
        prompts: Minibatch,
        lr: float,
        losses: Tensor,
        idle: Sequence[int] = (),
        steps: Tensor | None = None,
    ) -> None:
        """One AdamW step (Loshchilov and Hutter 2019) on the group's active nodes, but for members that are idle.

        losses: float[member of all], into which the task losses are written. steps: int[member, slot], how many steps
        this one stands for; None for one.
        """
        stepping = [i for i, member in enumerate(group.members) if member not in idle]
        if idle and not stepping:
            return
        tau = self.tau[group.rows].gather(1, group.active).requires_grad_()
        mask = heaviside(tau, self.p.heaviside_temp)
        loss = self._task_loss(group, mask, prompts)
        (loss.sum() + (self.k_coef[group.rows] * mask).sum()).backward()
        assert tau.grad is not None
        grad = _clip_rms(tau.grad.masked_fill(group.active == self.total, 0.0), self.total)
        some = torch.tensor(stepping, device=grad.device) if idle else slice(None)
        losses[group.rows[some]] = loss.detach()[some]
        self._update(group.rows[some], group.active[some], tau.detach()[some], grad[some], lr, steps)

    def _task_loss(self, group: Group, mask: Tensor, prompts: Minibatch) -> Tensor:
        """float[member]."""
        masks = dict(zip(self.model.sites, mask.split(group.widths, dim=1), strict=True))
        logits = group.model.run(
            prompts.tokens,
            positions=prompts.positions,
            vocab=prompts.vocab,
            masks=masks,
            baselines=baselines_on(self.problem.ablation, group.model, prompts.partners),
            norm_scales=prompts.norm_scales,
        ).logits
        return prompt_losses(logits, prompts.targets, prompts.distractors, self.problem.loss).mean(-1)

    def _update(self, rows: Tensor, active: Tensor, tau: Tensor, grad: Tensor, lr: float, steps: Tensor | None) -> None:
        """A step that stands for several is as many with the same gradient."""
        n = 1 if steps is None else steps.to(tau.dtype)
        beta1, beta2 = 0.9, self.p.beta2
        mean = self.mean[rows].gather(1, active) * beta1**n + (1 - beta1**n) * grad
        square = self.square[rows].gather(1, active) * beta2**n + (1 - beta2**n) * grad.square()
        count = self.count[rows].gather(1, active) + n
        step = mean / (1 - beta1**count) / ((square / (1 - beta2**count)).sqrt() + 1e-8)
        far = lr * n
        tau = (tau * (1 - far * self.p.weight_decay) - far * step).clamp(-1, 1)
        for state, value in ((self.tau, tau), (self.mean, mean), (self.square, square), (self.count, count)):
            state[rows[:, None], active] = value
        self.tau[:, -1] = -1.0


def _clip_rms(grad: Tensor, total: int) -> Tensor:
    """Each member's gradient scaled down to a root mean square of at most 1 over all nodes."""
    rms = (grad.square().sum(1, keepdim=True) / total).sqrt()
    return grad / rms.clamp(min=1)
