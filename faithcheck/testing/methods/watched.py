"""A model that remembers what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from faithcheck.model import Run

if TYPE_CHECKING:
    from faithcheck.ablation import Ablation

ByName = Mapping[str, Tensor]


@dataclass(frozen=True)
class Call:
    """One `run`: its levers without their graphs, and how much it holds.

    `ablated`: the sites where a mask is not all ones or wants a gradient. `restricted`: whether it was run on a
    restricted model, which is ablated everywhere. `members`: the longest member axis of any lever. `nodes`: of all
    sites together.
    """

    tokens: Tensor
    ablated: tuple[str, ...]
    baselines: ByName
    norm_scales: ByName
    members: int
    nodes: int
    restricted: bool

    @property
    def ablates(self) -> bool:
        return self.restricted or bool(self.ablated)

    @property
    def bytes(self) -> int:
        """Members x prompts x positions x nodes x 4 bytes."""
        return self.members * self.tokens.numel() * self.nodes * 4


class Log:
    """What was asked for: every `run`, the kind of ablation of every `restrict`, every attribute that was set."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.restricted_to: list[str] = []
        self.written: list[str] = []


class Watched:
    """A model, with a log of its calls. Whatever else it has, it has too, sites and norms as copies; it cannot be sent
    to other processes."""

    portable = False
    _model: Any
    _log: Log
    _restricted: bool

    def __init__(self, model: Any, log: Log, restricted: bool = False):
        own = {"sites": dict(model.sites), "norms": list(model.norms)}
        self.__dict__.update(own, _model=model, _log=log, _restricted=restricted)

    def __setattr__(self, name: str, value: Any) -> None:
        self._log.written.append(f"model.{name}")
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        return self._restrict if name == "restrict" else found

    def _restrict(self, keep: ByName, ablation: Ablation, trainable: bool = False) -> Watched:
        self._log.restricted_to.append(ablation.kind)
        return Watched(self._model.restrict(keep, ablation, trainable), self._log, restricted=True)

    def run(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        vocab: Tensor | None = None,
        masks: ByName | None = None,
        baselines: ByName | None = None,
        norm_scales: ByName | None = None,
        capture: Sequence[str] = (),
    ) -> Run:
        masks, baselines, norm_scales = masks or {}, baselines or {}, norm_scales or {}
        with_members = [
            *(mask for mask in masks.values() if mask.dim() in (2, 4)),
            *(baseline for baseline in baselines.values() if baseline.dim() == 4),
            *(scale for scale in norm_scales.values() if scale.dim() == 3),
        ]
        call = Call(
            tokens=tokens.detach().clone(),
            ablated=tuple(site for site, mask in masks.items() if mask.requires_grad or bool((mask != 1).any())),
            baselines={site: value.detach() for site, value in baselines.items()},
            norm_scales={norm: value.detach() for norm, value in norm_scales.items()},
            members=max(map(len, with_members), default=1),
            nodes=sum(site.size for site in self._model.sites.values()),
            restricted=self._restricted,
        )
        self._log.calls.append(call)
        run: Run = self._model.run(
            tokens,
            positions=positions,
            vocab=vocab,
            masks=masks,
            baselines=baselines,
            norm_scales=norm_scales,
            capture=capture,
        )
        return run
