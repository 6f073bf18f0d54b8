"""Modules whose weights are used in all their transforms under the group.

In training the transforms are one gather a forward pass. In inference (eval mode, gradients off) the result is kept
and used again for as long as the weight is the same.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.functional import transform_kernel


class KernelCache:
    """The transformed form of one weight, remembered with what it was made from.

    Whether the weight is still the same is decided by its values on the CPU (a comparison costs microseconds and
    catches every kind of change). On other devices, where a comparison would wait for the device, its identity, storage
    and version counter decide: they change with every step of an optimizer, `load_state_dict`, in-place operation or
    replacement, but not with writes through ``.data``, after which `clear` (or ``train()`` and a forward pass) is due.
    """

    def __init__(self) -> None:
        self._entry: tuple[Callable[[Tensor], bool], float, Tensor] | None = None

    def get(self, weight: Tensor, scale: float) -> Tensor | None:
        """The remembered result, if it was made from this weight as it is now."""
        if self._entry is None:
            return None
        unchanged, made_with, result = self._entry
        return result if made_with == scale and unchanged(weight) else None

    def put(self, weight: Tensor, scale: float, result: Tensor) -> None:
        """Remember a result."""
        self._entry = (_unchanged_since_now(weight), scale, result)

    def clear(self) -> None:
        """Forget it, and free its memory."""
        self._entry = None

    def __getstate__(self) -> dict[str, None]:
        return {"_entry": None}  # copies and pickles of a module start without


def _unchanged_since_now(weight: Tensor) -> Callable[[Tensor], bool]:
    """A test of whether a tensor is this weight, with the values it has now."""
    if weight.device.type == "cpu":
        values = weight.detach().clone()
        return lambda other: (
            other.device == values.device and other.dtype == values.dtype and torch.equal(values, other)
        )
    if weight.is_inference():  # it has no version counter: nothing can be promised about it
        return lambda other: False
    seen = (weight.data_ptr(), weight._version)
    return lambda other: other is weight and (other.data_ptr(), other._version) == seen


class TransformedWeights(nn.Module):
    """Base of modules with weights that the group transforms: registers their index tables and keeps their caches."""

    def __init__(self) -> None:
        super().__init__()
        self._caches: dict[str, KernelCache] = {}
        self._tables: dict[str, Tensor] = {}

    def add_transformed_weight(self, name: str, weight: Tensor, index: Tensor) -> None:
        """Register a learned weight and the table of its transforms (a buffer that no checkpoint holds)."""
        self.register_parameter(name, nn.Parameter(weight))
        self.register_buffer(f"{name}_index", index.to(weight.device), persistent=False)
        self._tables[name] = index
        self._caches[name] = KernelCache()

    def transformed(self, name: str, scale: float = 1.0) -> Tensor:
        """The weight's transforms, times a factor: ``(O, |H|, ...)``."""
        weight: Tensor = getattr(self, name)
        cache = self._caches[name]
        # what stands in for the parameter in functional_call or under vmap comes and goes: nothing is kept of it
        remember = isinstance(weight, nn.Parameter) and not (
            self.training or torch.is_grad_enabled() or torch.compiler.is_compiling()
        )
        if remember and (kept := cache.get(weight, scale)) is not None:
            return kept
        if not remember:
            cache.clear()
        result = transform_kernel(weight if scale == 1 else scale * weight, getattr(self, f"{name}_index"))
        if remember:
            result = result.contiguous()
            cache.put(weight, scale, result)
        return result

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "TransformedWeights":
        """As `torch.nn.Module` has it; the tables survive `to_empty`, since no checkpoint could restore them."""
        super()._apply(fn, recurse)
        for name, table in self._tables.items():
            self._caches[name].clear()
            setattr(self, f"{name}_index", table.to(getattr(self, name).device))
        return self


@torch.no_grad()
def uniform_kernel_(weight: Tensor, in_channels: int, kernel_size: int, wscale: float) -> Tensor:
    """The paper's initial kernels: U(-s, s) with s = wscale / √(C·k²), for lifting and group layers alike."""
    bound = wscale / math.sqrt(in_channels * kernel_size**2)
    return weight.uniform_(-bound, bound)
