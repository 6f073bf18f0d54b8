"""Packed weights: base class of modules with transformed weights, and the cache that inference uses.

In training every forward pass gathers the transforms anew. In inference (eval mode, gradients off) a layer caches its
packed weights until a parameter changes. No public method returns memory of the cache.

Layers use the weights of some submodules without calling these, from the cache or in compiled kernels. A submodule is
called after all if a call does more than its class says: hooks (pruning, weight norm, FSDP, recorded activations), a
replaced or compiled ``forward``, a derived or parametrized class. `is_plain` tells the two apart.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as global_hooks

from attentive_gconv.functional import KernelTransform, sample_kernel, transform_kernel
from attentive_gconv.functional.fast.dispatch import is_ordinary, is_tracing, without_autocast
from attentive_gconv.groups import FiniteGroup

Packed = TypeVar("Packed")


def packs_for_inference() -> bool:
    """Whether weights are packed for inference: gradients are off, and nothing is traced."""
    return not torch.is_grad_enabled() and not is_tracing()


class PackedWeightsCache:
    """Cache of one object derived from parameters, valid until a parameter changes.

    On the CPU the values of a parameter are compared: that takes microseconds and detects every change. On other
    devices, where a comparison would wait for the device, its identity, storage and version counter are compared: they
    change with every optimizer step, `load_state_dict`, in-place operation or replacement, but not with writes through
    ``.data``, and perhaps not with collectives of `torch.distributed` or replays of CUDA graphs. Call `clear` after
    these, or ``train()`` and a forward pass.
    """

    def __init__(self) -> None:
        self._entry: tuple[list[Callable[[Tensor], bool]], Hashable, Any] | None = None

    def get(self, weights: Sequence[Tensor], key: Hashable) -> Any:
        """The cached object, if it was derived from these parameters as they are now, with the same key; or None."""
        if self._entry is None:
            return None
        unchanged, cached_key, packed = self._entry
        if cached_key != key or len(unchanged) != len(weights):
            return None
        for test, weight in zip(unchanged, weights, strict=True):
            if not test(weight):
                return None
        return packed

    def put(self, weights: Sequence[Tensor], key: Hashable, pack: Callable[[], Packed]) -> Packed:
        """Cache the result of ``pack()``, unless another thread or process changes the parameters meanwhile."""
        unchanged = [_unchanged_since_now(weight) for weight in weights]
        packed = pack()
        same = all(test(weight) for test, weight in zip(unchanged, weights, strict=True))
        self._entry = (unchanged, key, packed) if same else None
        return packed

    def clear(self) -> None:
        """Drop the cached object, and free its memory."""
        self._entry = None

    def __getstate__(self) -> dict[str, None]:
        return {"_entry": None}  # copies and pickles of a module start with an empty cache


def _unchanged_since_now(weight: Tensor) -> Callable[[Tensor], bool]:
    """A function that tells whether a tensor is this weight, with its present values."""
    if weight.device.type == "cpu":
        values = weight.detach().clone()
        return lambda other: other.is_cpu and other.dtype is values.dtype and torch.equal(values, other)
    if weight.is_inference():  # without a version counter a change would go unnoticed
        return lambda other: False
    seen = (weight.data_ptr(), weight._version)
    return lambda other: other is weight and (other.data_ptr(), other._version) == seen


class TransformedWeights(nn.Module):
    """Base class of modules whose weights the group transforms: index tables, transforms, cache of packed weights."""

    group: FiniteGroup

    def __init__(self) -> None:
        super().__init__()
        self._cache = PackedWeightsCache()
        self._tables: dict[str, KernelTransform] = {}

    def add_transformed_weight(self, name: str, weight: Tensor, transform: KernelTransform) -> None:
        """Register a learned weight and its transforms (buffers that no checkpoint holds)."""
        self.register_parameter(name, nn.Parameter(weight))
        self._tables[name] = transform
        self.register_buffer(f"{name}_index", transform.index.to(weight.device), persistent=False)
        if transform.basis is not None:
            self.register_buffer(f"{name}_basis", transform.basis.to(weight), persistent=False)

    def index(self, name: str) -> Tensor:
        """The index table of a weight's transforms, on the weight's device."""
        return self._table(name, "index")

    def _table(self, name: str, kind: str) -> Tensor:
        """A table on the weight's device: of a module made on the meta device, no checkpoint holds its tables."""
        table, weight = cast("Tensor", getattr(self, f"{name}_{kind}")), getattr(self, name)
        if table.device != weight.device:
            table = _like(getattr(self._tables[name], kind), weight)
            if not torch.compiler.is_compiling():
                setattr(self, f"{name}_{kind}", table)
        return table

    def sampled(self, name: str) -> Tensor:
        """The weight as `transform_kernel` takes it: itself or, where elements interpolate, its turned samples."""
        weight: Tensor = getattr(self, name)
        if self._tables[name].basis is None:
            return weight
        with without_autocast(weight):
            return sample_kernel(weight, self._table(name, "basis").to(weight.dtype))

    def packed_samples(self, name: str) -> Tensor:
        """The tensor of `sampled`; where elements interpolate it is cached in inference."""
        weight: Tensor = getattr(self, name)
        if self._tables[name].basis is None:
            return weight
        return self.packed((weight,), f"samples of {name}", lambda: self.sampled(name))

    def transformed(self, name: str, scale: float = 1.0) -> Tensor:
        """The weight's transforms, times a factor: ``(O, |H|, ...)``."""
        weight = self.sampled(name)
        return transform_kernel(weight if scale == 1 else scale * weight, self.index(name))

    def packed(self, weights: Sequence[Tensor], key: Hashable, pack: Callable[[], Packed]) -> Packed:
        """The result of ``pack()``; in inference it is cached while the weights and the key stay the same.

        Args:
            weights: the parameters that ``pack`` uses.
            key: everything else that it uses.
            pack: derives something from them.
        """
        if self.training or torch.is_grad_enabled():
            self._cache.clear()
            return pack()
        # functional_call and vmap replace parameters by tensors of one call: nothing is cached for these
        if not (_are_parameters(weights) and is_ordinary(*weights)):
            self._cache.clear()
            return pack()
        cached: Packed | None = self._cache.get(weights, key)
        return self._cache.put(weights, key, pack) if cached is None else cached

    def clear_cache(self) -> None:
        """Drop the cached weights, and free their memory."""
        self._cache.clear()

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "TransformedWeights":
        """As `torch.nn.Module._apply`; tables are restored after `to_empty`, since no checkpoint holds them."""
        self._place_tables()
        super()._apply(_in_any_layout(fn), recurse)  # type: ignore[no-untyped-call]
        self.clear_cache()
        self._place_tables(always=True)
        return self

    def _load_from_state_dict(self, *args: Any) -> None:
        """As in `torch.nn.Module`; ``assign=True`` may have brought weights on another device or of another dtype."""
        super()._load_from_state_dict(*args)
        self._place_tables()

    def _place_tables(self, *, always: bool = False) -> None:
        """Make the tables fit the weights' devices and dtypes, on the meta device too."""
        for name, transform in self._tables.items():
            weight = getattr(self, name)
            for kind, table in (("index", transform.index), ("basis", transform.basis)):
                if table is None:
                    continue
                here = getattr(self, f"{name}_{kind}")
                dtype = weight.dtype if table.is_floating_point() else table.dtype
                if always or (here.device, here.dtype) != (weight.device, dtype):
                    setattr(self, f"{name}_{kind}", _like(table, weight))


def _like(table: Tensor, weight: Tensor) -> Tensor:
    """A table on the weight's device; a floating-point one in its dtype."""
    return table.to(weight.device, weight.dtype if table.is_floating_point() else None)


def _in_any_layout(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The function, made to leave alone the memory format of weights that have another number of axes.

    ``model.to(memory_format=torch.channels_last)`` is meant for the weights of `conv2d`. Those of a group convolution
    have a group axis besides and are gathered before use: they keep their layout.
    """

    def applied(weight: Tensor) -> Tensor:
        try:
            return fn(weight)
        except RuntimeError:
            if weight.dim() not in (4, 5):
                raise
            return fn(weight.flatten(2)).unflatten(2, weight.shape[2:])  # type: ignore[no-any-return]

    return applied


@torch.no_grad()
def uniform_kernel_(weight: Tensor, in_channels: int, kernel_size: int, wscale: float) -> Tensor:
    """The paper's initial kernels: U(-s, s) with s = wscale / √(C·k²), for lifting and group layers alike."""
    bound = wscale / math.sqrt(in_channels * kernel_size**2)
    return weight.uniform_(-bound, bound)


_REPLACEABLE = frozenset({"forward", "logits", "__call__", "transformed", "gates", "kernel"})


def _are_parameters(weights: Sequence[Tensor]) -> bool:
    """Whether all are parameters; their class is compared first, since `isinstance` is slow for parameters."""
    for weight in weights:  # noqa: SIM110, a generator would cost as much again
        if type(weight) is not nn.Parameter and not isinstance(weight, nn.Parameter):
            return False
    return True


def is_plain(module: nn.Module, *classes: type[nn.Module]) -> bool:
    """Whether a module is exactly of one of these classes, and a call runs nothing but the forward of that class.

    Example:
        >>> layer = nn.ReLU()
        >>> is_plain(layer, nn.ReLU), is_plain(layer, nn.ELU)
        (True, False)
        >>> handle = layer.register_forward_hook(print)
        >>> is_plain(layer, nn.ReLU)
        False
    """
    if type(module) not in classes or module._compiled_call_impl is not None or _REPLACEABLE & vars(module).keys():
        return False
    own = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return not (own or _are_hooked_globally())


def _are_hooked_globally() -> bool:
    """Whether hooks were registered for all modules."""
    return bool(
        global_hooks._global_forward_hooks
        or global_hooks._global_forward_pre_hooks
        or global_hooks._global_backward_hooks
        or global_hooks._global_backward_pre_hooks
    )
