"""Small random checkpoints of the sparse_pretrain format, written as its description says they are."""

from __future__ import annotations

import json

import pytest
import torch
from faithcheck_circuits.plain.model import PlainTransformer
from faithcheck_circuits.published.checkpoint import config_and_tensors
from safetensors.torch import save_file
from small_models import Words

EIGHT = "attn_in,attn_out,mlp_in,mlp_out,mlp_neuron,attn_v,attn_k,attn_q"
TOPK = {"enable_activation_sparsity": True, "activation_topk_fraction": 0.25}

FORMS = {
    "rms norm": ({}, {}),
    "layer norm": ({"use_rms_norm": False}, {}),
    "top-k at all eight sites": ({}, {**TOPK, "activation_sparsity_locations": EIGHT}),
    "top-k at the places that are left out": ({}, TOPK),
    "top-k at two sites": ({}, {**TOPK, "activation_sparsity_locations": "mlp_neuron,attn_k"}),
    "top-k at no place": ({}, {**TOPK, "activation_sparsity_locations": ""}),
    "top-k that keeps all": ({}, {**TOPK, "activation_topk_fraction": 1.5}),
    "top-k that keeps one": ({}, {**TOPK, "activation_topk_fraction": 0.01}),
    "top-k with resid_pre and resid_mid": (
        {},
        {**TOPK, "activation_sparsity_locations": f"{EIGHT},resid_mid,resid_pre"},
    ),
    "top-k of the stream alone": ({}, {**TOPK, "activation_sparsity_locations": "resid_mid,resid_pre"}),
    "bigram": ({"use_bigram_table": True}, {}),
    "positions": ({"use_positional_embeddings": True}, {}),
    "tied": ({"tie_embeddings": True}, {}),
    "relu": ({"activation": "relu"}, {}),
    "no bias": ({"use_bias": False}, {}),
    "layer norm, no bias": ({"use_rms_norm": False, "use_bias": False}, {}),
    "no sinks": ({"use_attention_sinks": False}, {}),
    "no flash attention": ({"use_flash_attention": False}, {}),
    "one layer": ({"n_layer": 1, "d_head": 16}, {}),
    "all at once": (
        {
            "use_rms_norm": False,
            "use_positional_embeddings": True,
            "use_bigram_table": True,
            "tie_embeddings": True,
            "activation": "relu",
            "n_layer": 3,
        },
        {**TOPK, "activation_topk_fraction": 0.3, "activation_sparsity_locations": f"{EIGHT},resid_mid,resid_pre"},
    ),
}
"""(changes of model_config, of sparsity_config) by name."""
PLAIN = (
    "layer norm",
    "layer norm, no bias",
    "top-k at two sites",
    "top-k with resid_pre and resid_mid",
    "top-k of the stream alone",
    "positions",
    "relu",
    "all at once",
)
"""Forms that the weight-sparse transformer does not compute."""
FAST = tuple(form for form in FORMS if form not in PLAIN)

SHAPE = {"n_layer": 2, "d_model": 16, "n_ctx": 7, "d_head": 4, "d_mlp": 24, "vocab_size": 23}


class ByForm(dict):
    """What was made of each form; Hypothesis prints it when a test fails."""

    __call__ = dict.__getitem__

    def __repr__(self):
        return "by form"


def config_of(form="rms norm"):
    """What config.json says, with what training leaves in it."""
    model, sparsity = FORMS[form]
    base = {"use_bigram_table": False, "use_attention_sinks": True, "dropout": 0.1}
    return {
        "model_config": {**SHAPE, **base, **model},
        "sparsity_config": {
            "enable_weight_sparsity": True,
            "target_l0_fraction": 0.015625,
            "enable_activation_sparsity": False,
            **sparsity,
        },
        "training_config": {"total_tokens": 1000, "tokenizer_name": "nobody/nothing"},
    }


def state_of(config, seed=0, embed=1.0):
    """A state dict in which every number is random, so that none can be left out unseen. `embed`: RMS of embeddings."""
    m = {"use_bias": True, "use_rms_norm": True, "use_flash_attention": True, **config["model_config"]}
    g = torch.Generator().manual_seed(seed)
    d, v, f, heads = m["d_model"], m["vocab_size"], m["d_mlp"], m["d_model"] // m["d_head"]

    def random(*shape, scale=1.0, mean=0.0):
        return mean + scale * torch.randn(shape, generator=g)

    state = {"wte.weight": random(v, d, scale=embed)}
    if m.get("use_positional_embeddings"):
        state["wpe.weight"] = random(m["n_ctx"], d)
    for i in range(m["n_layer"]):
        for name, out, into in (
            ("attn.c_attn", 3 * d, d),
            ("attn.c_proj", d, d),
            ("mlp.c_fc", f, d),
            ("mlp.c_proj", d, f),
        ):
            state[f"blocks.{i}.{name}.weight"] = random(out, into, scale=1.5 * into**-0.5)
            if m["use_bias"]:
                state[f"blocks.{i}.{name}.bias"] = random(out, scale=0.5)
        if m["use_attention_sinks"]:
            state[f"blocks.{i}.attn.attn_fn.sink_logit"] = random(heads)
        if not m["use_flash_attention"]:
            state[f"blocks.{i}.attn.causal_mask"] = torch.tril(torch.ones(m["n_ctx"], m["n_ctx"]))[None, None]
    for norm in [f"blocks.{i}.{ln}" for i in range(m["n_layer"]) for ln in ("ln_1", "ln_2")] + ["ln_f"]:
        state[f"{norm}.weight"] = random(d, scale=0.3, mean=1.0)
        if not m["use_rms_norm"]:
            state[f"{norm}.bias"] = random(d, scale=0.5)
    state["lm_head.weight"] = state["wte.weight"] if m.get("tie_embeddings") else random(v, d)
    if m["use_bigram_table"]:
        state["bigram_table"] = random(v, v)
    return state


def write(folder, config, state, file="pytorch_model.bin"):
    """The folder of a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    if file.endswith(".safetensors"):
        save_file({name: value.clone() for name, value in state.items()}, folder / file)
    else:
        torch.save(state, folder / file)
    return folder


def plain_double(folder) -> PlainTransformer:
    """The checkpoint as the plain transformer, whatever its form, in float64: two ways to one number then agree far
    below any error, and top-k never flips at a tie."""
    config, tensors = config_and_tensors(folder)
    words = Words(f"w{i}" for i in range(config.vocabulary))
    return PlainTransformer("plain", config, {n: t.double() for n, t in tensors.items()}, words)


def word_tokenizer(words):
    """A tokenizer of the `tokenizers` package: lower case, one token a word; 0 stands for any other."""
    pytest.importorskip("tokenizers")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer
