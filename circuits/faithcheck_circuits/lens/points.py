"""Which of TransformerLens's hook points is which site, norm and pattern of the protocol."""

from __future__ import annotations

from typing import Any

from faithcheck.errors import UserError

SITE_POINTS = {
    "attn_in": "attn.hook_in",
    "attn_q": "attn.q.hook_out",
    "attn_k": "attn.k.hook_out",
    "attn_v": "attn.v.hook_out",
    "attn_out": "hook_attn_out",
    "mlp_in": "mlp.hook_in",
    "mlp_neuron": "mlp.out.hook_in",
    "mlp_out": "hook_mlp_out",
}
"""Site kind -> hook point of a block, in order of execution. `hook_attn_out` and `hook_mlp_out` are TransformerLens's
names for what is added to the residual stream: after a post-norm where there is one."""

NORMS = {"ln_1": "ln1", "ln_1_post": "ln1_post", "ln_2": "ln2", "ln_2_post": "ln2_post"}
"""Norm -> module of a block. Blocks without post-norms lack those; a parallel block may share ln_1 and lack ln_2."""

PATTERN = "attn_pattern"


class Points:
    """The hook points of a bridge by the protocol's names.

    `sites`, `norms` (the scales), `norm_outputs`, `patterns`: {name: hook point}, names as in `faithcheck.model`.
    `mixed`: {layer: the hook point of all heads' weighted values, before the output projection}. `stream`: the
    residual stream before the first block and before the last norm. `unembed`: what the unembedding reads.
    Raises UserError naming the first hook point that is needed and missing.
    """

    def __init__(self, bridge: Any, label: str):
        self._points, self._label = bridge.hook_dict, label
        self.layers = range(len(bridge.blocks))
        self.sites: dict[str, Any] = {}
        self.norms: dict[str, Any] = {}
        self.norm_outputs: dict[str, Any] = {}
        self.patterns: dict[str, Any] = {}
        self.mixed: dict[int, Any] = {}
        for layer in self.layers:
            for kind, point in SITE_POINTS.items():
                self.sites[f"{layer}.{kind}"] = self._at(f"blocks.{layer}.{point}", f"{layer}.{kind}")
            for norm, module in NORMS.items():
                if f"blocks.{layer}.{module}.hook_scale" in self._points:
                    self._add_norm(f"{layer}.{norm}", f"blocks.{layer}.{module}")
            if f"{layer}.ln_1" not in self.norms:
                raise UserError(f"{label} has no norm before its attention, so no site 'after the norm'")
            self.patterns[f"{layer}.{PATTERN}"] = self._at(f"blocks.{layer}.attn.hook_pattern", "attention patterns")
            self.mixed[layer] = self._at(f"blocks.{layer}.attn.o.hook_in", "attention output")
        self._add_norm("ln_f", "ln_final")
        self.stream = (self._at("blocks.0.hook_in", "residual stream"), self._at("ln_final.hook_in", "residual stream"))
        self.unembed = self._at("unembed.hook_in", "unembedding")

    def _add_norm(self, name: str, module: str) -> None:
        self.norms[name] = self._at(f"{module}.hook_scale", name)
        self.norm_outputs[name] = self._at(f"{module}.hook_out", name)

    def _at(self, point: str, need: str) -> Any:
        if point not in self._points:
            raise UserError(f"{self._label} cannot be run: TransformerLens has no hook point {point} for its {need}")
        return self._points[point]
