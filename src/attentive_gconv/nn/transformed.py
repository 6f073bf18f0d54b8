"""Modules whose weights are used in all their transforms under the group.

In training the transforms are one gather a forward pass. In inference (eval mode, gradients off) the result is kept
and used again for as long as the weight is the same.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.functional import transform_kernel


class KernelCache:
    """The transformed form of one weight, remembered with what it was made from.

    Whether the weight is still the same is decided by its values on the CPU (a comparison costs microseconds and
    catches every kind of change, also writes through ``.data``); on other devices, where a comparison would wait for
    the device, by its identity, storage and version counter.
    """

    def __init__(self) -> None:
        self._entry: tuple[Any, Tensor] | None = None

    def get(self, weight: Tensor, scale: float) -> Tensor | None:
        """The remembered result, if it was made from this weight as it is now."""
        if self._entry is None:
            return None
        made_from, result = self._entry
        return result if self._same(made_from, weight, scale) else None

    def put(self, weight: Tensor, scale: float, result: Tensor) -> None:
        """Remember a result."""
        self._entry = (self._fingerprint(weight, scale), result)

    def clear(self) -> None:
        """Forget it, and free its memory."""
        self._entry = None

    @staticmethod
    def _fingerprint(weight: Tensor, scale: float) -> Any:
        if weight.device.type == "cpu":
            return (weight.detach().clone(), scale)
        version = None if weight.is_inference() else weight._version
        return (weight.device, weight.dtype, weight.data_ptr(), version, scale)

    def _same(self, made_from: Any, weight: Tensor, scale: float) -> bool:
        if weight.device.type != "cpu":
            # an inference tensor has no version counter: nothing can be promised about it
            return bool(made_from == self._fingerprint(weight, scale)) and not weight.is_inference()
        source = made_from[0]
        return (
            isinstance(source, Tensor)
            and source.dtype == weight.dtype
            and made_from[1] == scale
            and torch.equal(source, weight)
        )

    def __getstate__(self) -> dict[str, None]:
        return {"_entry": None}  # copies and pickles of a module start without


class TransformedWeights(nn.Module):
    """Base of modules with weights that the group transforms: registers their index tables and keeps their caches."""

    def __init__(self) -> None:
        super().__init__()
        self._caches: dict[str, KernelCache] = {}

    def add_transformed_weight(self, name: str, weight: Tensor, index: Tensor) -> None:
        """Register a learned weight and the table of its transforms (a buffer that no checkpoint holds)."""
        self.register_parameter(name, nn.Parameter(weight))
        self.register_buffer(f"{name}_index", index, persistent=False)
        self._caches[name] = KernelCache()

    def transformed(self, name: str, scale: float = 1.0) -> Tensor:
        """The weight's transforms, times a factor: ``(O, |H|, ...)``."""
        weight: Tensor = getattr(self, name)
        cache = self._caches[name]
        remember = not (self.training or torch.is_grad_enabled() or torch.compiler.is_compiling())
        if remember and (kept := cache.get(weight, scale)) is not None:
            return kept
        if not remember:
            cache.clear()
        result = transform_kernel(weight if scale == 1 else scale * weight, getattr(self, f"{name}_index"))
        if remember:
            result = result.contiguous()
            cache.put(weight, scale, result)
        return result


@torch.no_grad()
def uniform_kernel_(weight: Tensor, in_channels: int, kernel_size: int, wscale: float) -> Tensor:
    """The paper's initial kernels: U(-s, s) with s = wscale / √(C·k²), for lifting and group layers alike."""
    bound = wscale / math.sqrt(in_channels * kernel_size**2)
    return weight.uniform_(-bound, bound)
