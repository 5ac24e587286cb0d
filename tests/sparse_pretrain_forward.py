"""The model of a sparse_pretrain checkpoint computed a second time, in NumPy and float64, from the format's description
and the state dict alone: one prompt and one head at a time, with the intervention at every site and norm."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from plain_forward import spread, stack

DEFAULTS = {
    "use_rms_norm": True,
    "tie_embeddings": False,
    "use_positional_embeddings": False,
    "activation": "gelu",
    "use_flash_attention": True,
}
FLOAT32_EPS = 2.0**-23
LAYER_NORM_EPS = 1e-5


@dataclass
class Expected:
    """logits: float[member, prompt, pos, token]. captured: every site [member, prompt, pos, node], every norm's scale
    [member, prompt, pos], every pattern [member, prompt, head, query, key + 1], last the sink."""

    logits: np.ndarray
    captured: dict[str, np.ndarray]


@dataclass
class _Prompt:
    config: dict
    state: dict
    masks: dict
    baselines: dict
    scales: dict
    captured: dict = field(default_factory=dict)

    def __post_init__(self):
        self.m = {**DEFAULTS, **self.config["model_config"]}
        s = self.config["sparsity_config"]
        named = s.get(
            "activation_sparsity_locations", "attn_in,attn_q,attn_k,attn_v,attn_out,mlp_in,mlp_neuron,mlp_out"
        )
        self.places = named.split(",") if s["enable_activation_sparsity"] else []
        self.share = s.get("activation_topk_fraction", 0.25)

    def cut(self, place, x):
        if place not in self.places:
            return x
        return np.stack([_largest(row, max(1, int(self.share * len(row)))) for row in x])

    def site(self, layer, place, x):
        name, x = f"{layer}.{place}", self.cut(place, x)
        self.captured[name] = x
        m = self.masks.get(name, np.ones_like(x))
        return m * x + (1 - m) * self.baselines.get(name, np.zeros_like(x))

    def norm(self, name, theirs, x):
        if not self.m["use_rms_norm"]:
            x = x - x.mean(1, keepdims=True)
        eps = FLOAT32_EPS if self.m["use_rms_norm"] else LAYER_NORM_EPS
        scale = self.scales.get(name)
        if scale is None:
            scale = np.array([math.sqrt(sum(row * row) / len(row) + eps) for row in x])
        self.captured[name] = scale
        return x / scale[:, None] * self.state[f"{theirs}.weight"] + self.state.get(f"{theirs}.bias", 0.0)

    def linear(self, name, x):
        return x @ self.state[f"{name}.weight"].T + self.state.get(f"{name}.bias", 0.0)

    def attention(self, layer, x):
        block, width = f"blocks.{layer}", self.m["d_head"]
        source = self.site(layer, "attn_in", self.norm(f"{layer}.ln_1", f"{block}.ln_1", x))
        stacked = self.linear(f"{block}.attn.c_attn", source)
        d = self.m["d_model"]
        q, k, v = (self.site(layer, f"attn_{s}", stacked[:, i * d : (i + 1) * d]) for i, s in enumerate("qkv"))
        sinks = self.state.get(f"{block}.attn.attn_fn.sink_logit") if self.m["use_flash_attention"] else None
        heads = d // width
        pattern, mixed = np.zeros((heads, len(x), len(x) + 1)), np.zeros_like(v)
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            for query in range(len(x)):
                scores = [q[query, own] @ k[key, own] / math.sqrt(width) for key in range(query + 1)]
                scores.append(-math.inf if sinks is None else sinks[head])
                weight = np.exp(np.array(scores) - max(scores))
                share = weight / weight.sum()
                pattern[head, query, : query + 1], pattern[head, query, -1] = share[:-1], share[-1]
                mixed[query, own] = sum(share[key] * v[key, own] for key in range(query + 1))
        self.captured[f"{layer}.attn_pattern"] = pattern
        return self.site(layer, "attn_out", self.linear(f"{block}.attn.c_proj", mixed))

    def mlp(self, layer, x):
        block = f"blocks.{layer}"
        source = self.site(layer, "mlp_in", self.norm(f"{layer}.ln_2", f"{block}.ln_2", x))
        before = self.linear(f"{block}.mlp.c_fc", source)
        neuron = self.site(layer, "mlp_neuron", np.vectorize(_FUNCTIONS[self.m["activation"]])(before))
        return self.site(layer, "mlp_out", self.linear(f"{block}.mlp.c_proj", neuron))

    def logits(self, row):
        x = self.state["wte.weight"][row]
        if self.m["use_positional_embeddings"]:
            x = x + self.state["wpe.weight"][: len(row)]
        for layer in range(self.m["n_layer"]):
            x = self.cut("resid_pre", x)
            x = x + self.attention(layer, x)
            x = self.cut("resid_mid", x)
            x = x + self.mlp(layer, x)
        head = self.state["wte.weight" if self.m["tie_embeddings"] else "lm_head.weight"]
        logits = self.norm("ln_f", "ln_f", x) @ head.T
        return logits + self.state["bigram_table"][row] if self.m["use_bigram_table"] else logits


_FUNCTIONS = {
    "gelu": lambda z: z * 0.5 * math.erfc(-z / math.sqrt(2)),
    "relu": lambda z: max(z, 0.0),
}


def expected(config, state, tokens, masks=None, baselines=None, scales=None, members=1) -> Expected:
    """What the model of a checkpoint gives at every position, under levers as `Model.run` takes them."""
    state = {name: value.double().numpy() for name, value in state.items()}
    rows = tokens.numpy()
    full = (members, *rows.shape)
    masks, baselines = ({s: spread(v, full) for s, v in (part or {}).items()} for part in (masks, baselines))
    scales = {n: np.broadcast_to(v.detach().double().numpy(), full) for n, v in (scales or {}).items()}
    runs = []
    for member in range(members):
        for prompt, row in enumerate(rows):
            own = ({n: v[member, prompt] for n, v in part.items()} for part in (masks, baselines, scales))
            one = _Prompt(config, state, *own)
            runs.append((one.logits(row), one.captured))
    return Expected(
        stack([logits for logits, _ in runs], members),
        {name: stack([captured[name] for _, captured in runs], members) for name in runs[0][1]},
    )


def _largest(row, k):
    kept = np.argsort(-np.abs(row))[:k]
    return np.where(np.isin(np.arange(len(row)), kept), row, 0.0)
