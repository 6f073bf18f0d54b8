"""Modules whose weights are used in all their transforms under the group.

In training the transforms are one gather a forward pass. In inference (eval mode, gradients off) the result is kept
and used again for as long as the weight is the same.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from attentive_gconv.functional import transform_kernel

Made = TypeVar("Made")


class KernelCache:
    """What was made of weights (their transforms, say), remembered with what it was made from.

    Whether a weight is still the same is decided by its values on the CPU (a comparison costs microseconds and
    catches every kind of change). On other devices, where a comparison would wait for the device, its identity, storage
    and version counter decide: they change with every step of an optimizer, `load_state_dict`, in-place operation or
    replacement, but not with writes through ``.data``, after which `clear` (or ``train()`` and a forward pass) is due.
    """

    def __init__(self) -> None:
        self._entry: tuple[list[Callable[[Tensor], bool]], Hashable, Any] | None = None

    def get(self, weights: Sequence[Tensor], made_with: Hashable) -> Any:
        """The remembered result, if it was made from these weights as they are now, and with the same else; or None."""
        if self._entry is None:
            return None
        unchanged, then_with, result = self._entry
        same = then_with == made_with and len(unchanged) == len(weights)
        return result if same and all(is_it(weight) for is_it, weight in zip(unchanged, weights, strict=True)) else None

    def put(self, weights: Sequence[Tensor], made_with: Hashable, result: Any) -> None:
        """Remember a result."""
        self._entry = ([_unchanged_since_now(weight) for weight in weights], made_with, result)

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

        def make() -> Tensor:
            made = transform_kernel(weight if scale == 1 else scale * weight, getattr(self, f"{name}_index"))
            return made if torch.is_grad_enabled() else made.contiguous()

        return self.remembered(self._caches[name], [weight], scale, make)

    def remembered(
        self, cache: KernelCache, weights: Sequence[Tensor], made_with: Hashable, make: Callable[[], Made]
    ) -> Made:
        """What `make` returns: in inference what it returned before, if weights and `made_with` are the same."""
        # what stands in for a parameter in functional_call or under vmap comes and goes: nothing is kept of it
        inference = not (self.training or torch.is_grad_enabled() or torch.compiler.is_compiling())
        if not inference or not all(isinstance(weight, nn.Parameter) for weight in weights):
            cache.clear()
            return make()
        kept: Made | None = cache.get(weights, made_with)
        if kept is None:
            kept = make()
            cache.put(weights, made_with, kept)
        return kept

    def forget(self) -> None:
        """Drop what is kept."""
        for cache in self._caches.values():
            cache.clear()

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "TransformedWeights":
        """As `torch.nn.Module` has it; the tables survive `to_empty`, since no checkpoint could restore them."""
        super()._apply(fn, recurse)
        self.forget()
        for name, table in self._tables.items():
            setattr(self, f"{name}_index", table.to(getattr(self, name).device))
        return self


@torch.no_grad()
def uniform_kernel_(weight: Tensor, in_channels: int, kernel_size: int, wscale: float) -> Tensor:
    """The paper's initial kernels: U(-s, s) with s = wscale / √(C·k²), for lifting and group layers alike."""
    bound = wscale / math.sqrt(in_channels * kernel_size**2)
    return weight.uniform_(-bound, bound)
