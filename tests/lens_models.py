"""Small random transformers of several families: the plain network, and the same run through TransformerLens.

Weights are large, so that every part of a network matters to its logits.
"""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch

pytest.importorskip("transformer_lens", reason="needs the extra: pip install 'faithcheck[lens]'")
transformers = pytest.importorskip("transformers", reason="needs the extra: pip install 'faithcheck[lens]'")

from faithcheck_circuits.lens.building import build  # noqa: E402
from faithcheck_circuits.lens.source import Source  # noqa: E402
from faithcheck_circuits.token_ids import TokenIds  # noqa: E402

VOCABULARY, WIDTH, HEADS, LAYERS, LONGEST = 40, 32, 4, 2, 64
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": LONGEST,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GROUPED = {**_SHAPE, "num_key_value_heads": 2}
_GEMMA = {**_GROUPED, "head_dim": 16, "sliding_window": 16, "query_pre_attn_scalar": 16}
_GPT2 = {
    "vocab_size": VOCABULARY,
    "n_positions": LONGEST,
    "n_embd": WIDTH,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGURATIONS = {
    "gpt2": ("GPT2Config", _GPT2),
    "pythia": ("GPTNeoXConfig", {**_SHAPE, "rotary_pct": 0.25}),
    "phi": ("PhiConfig", _SHAPE),
    "llama": ("LlamaConfig", _GROUPED),
    "qwen2": ("Qwen2Config", _GROUPED),
    "qwen3": ("Qwen3Config", {**_GROUPED, "head_dim": 8}),
    "gemma": ("GemmaConfig", {**_SHAPE, "num_key_value_heads": 1, "head_dim": 16}),
    "gemma2": ("Gemma2Config", _GEMMA),
    "gemma3": ("Gemma3TextConfig", _GEMMA),
}
"""Grouped: llama, qwen2, qwen3, gemma2, gemma3 (2 heads of keys and values), gemma (1). Parallel blocks: pythia (two
norms), phi (one). Post-norms: gemma2 (with soft caps), gemma3."""
FAMILIES = tuple(CONFIGURATIONS)
POST_NORMS = ("gemma2", "gemma3")


def configuration(family, **changes):
    kind, shape = CONFIGURATIONS[family]
    return getattr(transformers, kind)(**{**shape, **changes})


def random_network(config, seed=0, dtype=torch.float32):
    network = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            spread = 0.3 if parameter.dim() > 1 else 0.2
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread + (parameter.dim() == 1))
    return network.to(dtype).eval().requires_grad_(False)


@cache
def plain(family):
    """The network without hook points. Not to be changed: take a copy."""
    return random_network(configuration(family))


@cache
def lens(family):
    """The same network as a `faithcheck.model.Model`."""
    return lens_of(copy.deepcopy(plain(family)), family)


def lens_of(network, name="tiny"):
    return build(Source.of(name, network), TokenIds(network.config.vocab_size))


def prompts(rows=3, width=7, seed=0):
    """(int[prompt, pos], int[prompt]): random tokens and answer positions."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(VOCABULARY, (rows, width), generator=generator)
    return tokens, torch.randint(2, width, (rows,), generator=generator)


def random_masks(model, members=2, seed=0, sites=None):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(members, site.size, generator=generator)
        for name, site in model.sites.items()
        if sites is None or name in sites
    }


def assert_close(found, expected, tolerance=1e-5):
    """The same shape and values; tolerance relative to the largest value."""
    assert found.shape == expected.shape
    difference = float((found - expected).abs().max())
    assert difference <= tolerance * max(1.0, float(expected.abs().max())), difference
