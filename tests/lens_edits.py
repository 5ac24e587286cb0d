"""Zero ablation of nodes as a change of weights of the plain network, with no hook anywhere.

A node that is an output of a linear map is switched off by its row of weights (and its bias), one that is an input by
its column in every map that reads it; one that a post-norm gives, by its gain.
"""

from __future__ import annotations

from lens_models import HEADS, POST_NORMS


def switch_off(network, family, site, nodes):
    """Change a network in place so that nodes (a list) of a site are 0."""
    layer, kind = site.split(".")
    block = _blocks(network, family)[int(layer)]
    if family in POST_NORMS and kind in ("attn_out", "mlp_out"):
        post = {"attn_out": "post_attention_layernorm", "mlp_out": "post_feedforward_layernorm"}[kind]
        getattr(block, post).weight[nodes] = -1.0  # Gemma's gain is 1 + weight
        return
    for linear, is_output, first in PLACES[family](block)[kind]:
        weight = linear.weight.T if type(linear).__name__ == "Conv1D" else linear.weight
        if is_output:
            rows = [first(node) for node in nodes]
            weight[rows] = 0.0
            if linear.bias is not None:
                linear.bias[rows] = 0.0
        else:
            weight[:, nodes] = 0.0


def _blocks(network, family):
    return _at(network, {"gpt2": "transformer.h", "pythia": "gpt_neox.layers"}.get(family, "model.layers"))


def _at(module, path):
    for name in path.split("."):
        module = getattr(module, name)
    return module


def _same(node):
    return node


def _gpt2(block):
    attention, mlp, width = block.attn, block.mlp, block.attn.embed_dim
    return {
        "attn_in": [(attention.c_attn, False, _same)],
        **{
            f"attn_{kind}": [(attention.c_attn, True, lambda node, start=place * width: start + node)]
            for place, kind in enumerate("qkv")
        },
        "attn_out": [(attention.c_proj, True, _same)],
        "mlp_in": [(mlp.c_fc, False, _same)],
        "mlp_neuron": [(mlp.c_proj, False, _same)],
        "mlp_out": [(mlp.c_proj, True, _same)],
    }


def _pythia(block):
    """Queries, keys and values of one head lie side by side."""
    attention, mlp = block.attention, block.mlp
    size = attention.query_key_value.out_features // (3 * HEADS)
    return {
        "attn_in": [(attention.query_key_value, False, _same)],
        **{
            f"attn_{kind}": [
                (attention.query_key_value, True, lambda n, p=place: (n // size * 3 + p) * size + n % size)
            ]
            for place, kind in enumerate("qkv")
        },
        "attn_out": [(attention.dense, True, _same)],
        "mlp_in": [(mlp.dense_h_to_4h, False, _same)],
        "mlp_neuron": [(mlp.dense_4h_to_h, False, _same)],
        "mlp_out": [(mlp.dense_4h_to_h, True, _same)],
    }


def _separate(block):
    attention, mlp = block.self_attn, block.mlp
    queries = (attention.q_proj, attention.k_proj, attention.v_proj)
    merge = getattr(attention, "o_proj", None) or attention.dense
    reads = (mlp.gate_proj, mlp.up_proj) if hasattr(mlp, "gate_proj") else (mlp.fc1,)
    down = mlp.down_proj if hasattr(mlp, "down_proj") else mlp.fc2
    return {
        "attn_in": [(linear, False, _same) for linear in queries],
        **{f"attn_{kind}": [(linear, True, _same)] for kind, linear in zip("qkv", queries, strict=True)},
        "attn_out": [(merge, True, _same)],
        "mlp_in": [(linear, False, _same) for linear in reads],
        "mlp_neuron": [(down, False, _same)],
        "mlp_out": [(down, True, _same)],
    }


PLACES = {"gpt2": _gpt2, "pythia": _pythia} | dict.fromkeys(
    ("phi", "llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"), _separate
)
"""Family -> {site kind: [(linear map, whether the nodes are its outputs, node -> row)]} of a block."""
