"""What the tests of `faithcheck import` share: files written in every published format, and what they must keep."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
from small_models import small_model

from faithcheck.importing.formats import read
from faithcheck.model import Site

MODEL_FILE = """\
from small_models import small_model


def tiny(device):
    return small_model()
"""
TINY = ("attn_in", "attn_q", "attn_k", "attn_v", "attn_out", "mlp_in", "mlp_neuron", "mlp_out")
"""The sites of each of the tiny model's two layers: 16 nodes in 4 heads of 4, 24 at mlp_neuron."""


@dataclass
class Grouped:
    """A model with 4 query heads of 2 nodes, which share 2 key and value heads; of it only the sites are asked for."""

    name, fingerprint = "grouped", "f"
    device, dtype, norms, tokenizer = torch.device("cpu"), torch.float32, (), None

    def run(self, tokens, **levers):
        raise NotImplementedError

    def __post_init__(self):
        heads = {"attn_q": 4, "attn_k": 2, "attn_v": 2}
        size = {"mlp_neuron": 6, "attn_k": 4, "attn_v": 4}
        self.sites = {
            f"0.{kind}": Site(
                size.get(kind, 8), 0, kind, torch.arange(heads[kind]).repeat_interleave(2) if kind in heads else None
            )
            for kind in TINY
        }


def kept(path, model=None):
    """{site: [kept nodes]} of the sites with a kept node."""
    found = read(path).kept(model or small_model()).nodes
    return {site: nodes.nonzero().flatten().tolist() for site, nodes in found.items() if nodes.any()}


def write_json(path, data):
    path.write_text(json.dumps(data))
    return path


def whole(*sites):
    """Every node of some sites of the tiny model."""
    return {site: list(range(24 if site.endswith("mlp_neuron") else 16)) for site in sites}


def graph(nodes, edges=(), **cfg):
    """A component graph of the tiny model in the newer JSON form; of nodes and edges those named are in it."""
    every = ["input", *(f"{c}" for layer in (0, 1) for c in (*(f"a{layer}.h{h}" for h in range(4)), f"m{layer}"))]
    every_edge = [f"{a}->{b}" for a in every for b in [*every[1:], "logits"]]
    return {
        "cfg": {"n_layers": 2, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 16, **cfg},
        "nodes": {name: {"in_graph": name in nodes, "score": 0.5} for name in [*every, "logits"]},
        "edges": {name: {"score": -0.25, "in_graph": name in edges} for name in dict.fromkeys([*every_edge, *edges])},
    }


def masks(*locations, layers=2, start=-0.5):
    """Taus of the tiny model, all `start`; of every location where none is named."""
    return {
        f"layer{layer}_{location}": torch.full((24 if location == "mlp_neuron" else 16,), start)
        for layer in range(layers)
        for location in (locations or TINY)
    }
