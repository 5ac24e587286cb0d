"""Circuits and node scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from faithcheck.ablation import Ablation
from faithcheck.errors import Location, UserError
from faithcheck.model import Model
from faithcheck.tensor_file import save_tensors

FORMAT = "faithcheck.circuit/1"
Norms = Literal["live", "frozen"]
_MEAN = "mean/"
_REALS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Convergence:
    """How an optimiser ended at its weakest size penalty.

    A control that was not reached counts as out of reach only where `flattened`: the loss had stopped falling, clearly
    above the target, with many nodes left.
    """

    loss: float
    nodes: int
    flattened: bool


@dataclass(frozen=True)
class NodeScores:
    """What a method returns: {site: float[node]}, higher is kept first."""

    scores: Mapping[str, Tensor]
    convergence: Convergence | None = None

    def flat(self, model: Model) -> Tensor:
        """float[node] over all sites, in the model's order of sites.

        Raises ValueError where the sites or their sizes are not the model's, the scores of a site are no tensor of real
        numbers, or a score is NaN.
        """
        if not isinstance(self.scores, Mapping):
            raise ValueError("scores are no mapping of site to tensor")
        wrong = set(self.scores) ^ set(model.sites)
        if wrong:
            raise ValueError(f"scores and model differ in the sites {', '.join(sorted(wrong))}")
        for name, site in model.sites.items():
            if not isinstance(self.scores[name], Tensor) or self.scores[name].is_complex():
                found = getattr(self.scores[name], "dtype", type(self.scores[name]).__name__)
                raise ValueError(f"the scores of {name} are {found}, not a tensor of real numbers")
            if self.scores[name].shape != (site.size,):
                raise ValueError(f"{name} has {site.size} nodes, scores of shape {tuple(self.scores[name].shape)}")
        flat = torch.cat([self.scores[name].detach().to("cpu", torch.float64) for name in model.sites])
        if flat.isnan().any():
            raise ValueError("a score is NaN")
        return flat


@dataclass(frozen=True)
class Circuit:
    """A set of nodes, {site: bool[node]}, how the rest is ablated, the norms it was found with, and where it is from.

    `provenance` is plain JSON data: model, task, seed, method, parameters, target loss, whether it was reached.
    """

    keep: Mapping[str, Tensor]
    ablation: Ablation = field(default_factory=Ablation)
    norms: Norms = "live"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(int(kept.sum()) for kept in self.keep.values())

    @property
    def identity(self) -> str:
        """SHA-256 over nodes, ablation with its means, and norms: circuits with the same identity compute the same."""
        digest = hashlib.sha256(f"{self.ablation.kind}/{self.norms}".encode())
        for site in sorted(self.keep):
            kept = self.keep[site].to("cpu", torch.uint8).numpy().tobytes()
            digest.update(f"{site}:{len(kept)}:".encode() + kept)
        for site, mean in sorted((self.ablation.means or {}).items()):
            digest.update(f"mean of {site}:".encode() + mean.to("cpu", torch.float64).numpy().tobytes())
        return digest.hexdigest()

    def check_fits(self, model: Model) -> None:
        """Raises UserError where the circuit's sites or their sizes are not the model's."""
        wrong = sorted(set(self.keep) ^ set(model.sites))
        if wrong:
            raise UserError(f"the circuit does not fit {model.name}: they differ in the site {wrong[0]}")
        for name, site in model.sites.items():
            if self.keep[name].shape != (site.size,):
                raise UserError(
                    f"the circuit does not fit {model.name}: "
                    f"{name} has {site.size} nodes, the circuit's has {self.keep[name].numel()}"
                )
            if self.ablation.means is not None and self.ablation.means[name].shape != (site.size,):
                raise UserError(f"the circuit does not fit {model.name}: its means at {name} are not one a node")


def save_circuit(path: Path, circuit: Circuit) -> None:
    """Write a circuit as safetensors: a uint8 tensor a site, its ablation's means if any, the rest as metadata."""
    about = {
        "ablation": circuit.ablation.kind,
        "norms": circuit.norms,
        "provenance": dict(circuit.provenance),
    }
    tensors = {site: kept.to(torch.uint8) for site, kept in circuit.keep.items()}
    tensors |= {_MEAN + site: mean for site, mean in (circuit.ablation.means or {}).items()}
    save_tensors(path, tensors, {"format": FORMAT, "circuit": json.dumps(about, sort_keys=True)})


def load_circuit(path: Path) -> Circuit:
    """Read what `save_circuit` wrote. Raises UserError naming the file where it is no such file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {site: file.get_tensor(site) for site in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read the circuit: {error}", Location(str(path))) from error
    if metadata.get("format") != FORMAT:
        raise UserError(f"not a circuit file of format {FORMAT}", Location(str(path)))
    means = {name.removeprefix(_MEAN): tensors.pop(name) for name in list(tensors) if name.startswith(_MEAN)}
    bad = [site for site, t in tensors.items() if t.dtype != torch.uint8 or t.dim() != 1 or bool((t > 1).any())]
    if bad:
        raise UserError(f"site {bad[0]!r} is not a row of zeros and ones", Location(str(path)))
    try:
        about = json.loads(metadata["circuit"])
        norms = about["norms"]
        if norms not in ("live", "frozen"):
            raise ValueError(f"norms is {norms!r}, not live or frozen")
        if not isinstance(about["provenance"], dict):
            raise ValueError("provenance is no mapping")
        keep = {site: t.bool() for site, t in tensors.items()}
        ablation = Ablation(about["ablation"], means or None)
        if ablation.is_of_means and set(means) != set(keep):
            raise ValueError(f"it has no means for {ablation.kind} ablation, or not one for each site")
        if not all(mean.dtype in _REALS and bool(mean.isfinite().all()) for mean in means.values()):
            raise ValueError("a mean is no finite number")
        return Circuit(keep, ablation, norms, about["provenance"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"the circuit's metadata is damaged: {error}", Location(str(path))) from error
