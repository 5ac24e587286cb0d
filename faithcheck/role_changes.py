"""When a role that a node has in the circuit is another one in the model. No torch: reports ask it too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from faithcheck.thresholds import HAS_NO_ROLE, HAS_ROLE

Flags = npt.NDArray[np.bool_]


def role_changes(circuit: npt.NDArray[np.float64], model: npt.NDArray[np.float64]) -> tuple[Flags, Flags]:
    """Where standardised effects, of one shape, flip and where they vanish in the model; neither where one is NaN."""
    has = np.abs(circuit) >= HAS_ROLE
    flips = has & (np.abs(model) >= HAS_ROLE) & (np.sign(circuit) != np.sign(model))
    return flips, has & (np.abs(model) < HAS_NO_ROLE)
