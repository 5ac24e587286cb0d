"""Floating point operations of the dense algorithm, by which work is compared."""

from __future__ import annotations

from faithcheck_circuits.transformer.config import Config


def per_step(config: Config, prompts: int, words: int) -> float:
    """One training step of the reference: forward, and backward to the activations (weights have no gradient)."""
    d, inner = config.d_model, config.d_mlp
    matrices = config.layers * (4 * d * d + 2 * d * inner) + config.vocabulary * d
    attention = config.layers * 2 * words * d
    return 2 * 2 * prompts * words * (matrices + attention)
