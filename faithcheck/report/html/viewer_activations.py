"""Activations small enough to lie in the page: a signed byte each, in units of the node's largest."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

STEPS = 127
NOT_FINITE = -128
"""The byte of an activation that is no finite number."""


def packed(circuit: npt.NDArray[Any], model: npt.NDArray[Any], lengths: Sequence[int]) -> dict[str, Any]:
    """Activations float[node, prompt, pos] of circuit and model: `scale` (the node's largest, in both), and `bytes`,
    base64 of int8[node, side, token], the tokens of all prompts one after the other.

    An activation is its byte times scale / 127; a byte of -128 stands for what is not finite.
    """
    import numpy as np

    def in_a_row(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        parts = [values[:, prompt, :length] for prompt, length in enumerate(lengths)]
        return np.concatenate(parts, 1).astype(np.float64)

    both = np.stack([in_a_row(circuit), in_a_row(model)], 1)
    finite = np.isfinite(both)
    scale = np.abs(np.where(finite, both, 0)).max((1, 2), initial=0)
    steps = np.where(finite, both, 0) / np.where(scale > 0, scale, 1)[:, None, None] * STEPS
    whole = np.where(finite, np.rint(steps), NOT_FINITE).astype(np.int8)
    return {"scale": [float(f"{value:.4g}") for value in scale], "bytes": base64.b64encode(whole.tobytes()).decode()}
