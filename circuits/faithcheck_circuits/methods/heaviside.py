"""A hard mask that can be trained."""

from __future__ import annotations

import torch
from torch import Tensor


def heaviside(tau: Tensor, temperature: float) -> Tensor:
    """1 where tau >= 0, else 0; backward, the derivative of sigmoid(tau / temperature) (Gao et al. 2025, A.5)."""
    return _Heaviside.apply(tau, temperature)


class _Heaviside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, tau: Tensor, temperature: float) -> Tensor:
        ctx.save_for_backward(tau)
        ctx.temperature = temperature  # type: ignore[attr-defined]
        return (tau >= 0).to(tau.dtype)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad: Tensor) -> tuple[Tensor, None]:
        (tau,) = ctx.saved_tensors  # type: ignore[attr-defined]
        temperature = ctx.temperature  # type: ignore[attr-defined]
        s = torch.sigmoid(tau / temperature)
        return grad[0] * s * (1 - s) / temperature, None
