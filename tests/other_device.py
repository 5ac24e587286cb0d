"""A device that is not the CPU, where there is none: `other`.

Its tensors have their numbers in CPU tensors that no one else sees. What a GPU refuses is refused: an operation on
tensors of two devices, another device's generator. What makes the CPU wait for a GPU is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
    pytest.skip("this torch takes no device from Python", allow_module_level=True)
backend_registration._setup_privateuseone_for_python_backend("other")

DATA_DEPENDENT = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2", "unique_dim", "bincount"}
"""Whose result's size or value the CPU has to know."""
COPIES = {"_to_copy", "copy_"}


class Other(torch.Tensor):
    """A tensor of the device `other`, of the numbers of a CPU tensor."""

    raw: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> Other:
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device="other:0",
        )
        tensor.raw = raw
        return tensor

    def __init__(self, raw: torch.Tensor):
        pass

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{op} of a tensor of the other device, outside it")

    def tolist(self) -> Any:
        return self.cpu().tolist()


class _Mode(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = op.overloadpacket.__name__, dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        ours = [x for x in tensors if isinstance(x, Other)]
        device = torch.device(kwargs.get("device") or (ours[0].device if ours else "cpu")).type
        if not ours and device == "cpu":
            return op(*args, **kwargs)
        if name == "copy_":
            device = args[0].device.type
        self._look(name, args, kwargs, device, tensors)
        if "device" in kwargs:
            kwargs["device"] = "cpu"
        known = {id(x.raw): x for x in ours}
        found = op(*_raw(args), **_raw(kwargs))
        if device == "cpu":
            return found
        return tree_map_only(torch.Tensor, lambda x: known[id(x)] if id(x) in known else Other(x), found)

    def _look(self, name: str, args: Any, kwargs: Any, device: str, tensors: list[torch.Tensor]) -> None:
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type != device:
            raise RuntimeError(f"{name}: a generator of {generator.device} for {device}")
        if name in COPIES:
            if any(x.device.type != device for x in tensors):
                self.waits.append(name)
            return
        indices = tree_leaves(args[1]) if name.startswith("index") and isinstance(args[1], list | tuple) else []
        masks = [x for x in indices if x is not None and x.dtype == torch.bool]
        moved = [x for x in indices if x is not None and x.device.type == "cpu"]
        mixed = [x for x in tensors if x.device.type == "cpu" and x.dim() and not any(x is y for y in moved)]
        if mixed or (tensors and device == "cpu"):
            raise RuntimeError(f"{name}: tensors of two devices")
        if masks or moved or name in DATA_DEPENDENT:
            self.waits.append(name)


def _raw(tree: Any) -> Any:
    return tree_map_only(Other, lambda x: x.raw, tree)


@contextmanager
def other_device() -> Iterator[list[str]]:
    """Inside, `device="other"` can be had; the list is of the operations so far for which a GPU would be waited."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # or torch.tensor would make a tensor on the device unseen
    try:
        with _Mode() as mode:
            yield mode.waits
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
