"""Attention on a feature map with compiled CPU kernels: tensors in, threads over samples, tensors out."""

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from attentive_gconv.functional.fast.input_attention import backward as backward_kernels
from attentive_gconv.functional.fast.input_attention import forward as forward_kernels
from attentive_gconv.functional.fast.input_attention.correlation import Plane, plane_of
from attentive_gconv.functional.fast.input_attention.forward import Kept, Rule
from attentive_gconv.functional.fast.input_attention.transforms import Weights
from attentive_gconv.functional.fast.numba_runtime.logistic import exponential_constants
from attentive_gconv.functional.fast.numba_runtime.simd import lanes
from attentive_gconv.functional.fast.numba_runtime.threads import run_chunks
from attentive_gconv.functional.operands import InputAttentionWeights

# with less work (see `_chunks`) a second thread costs more than it saves
_MIN_WORK = 1 << 16
_CHUNKS_PER_THREAD = 2  # few: samples take equally long, and every chunk transforms the weights again
_KINDS = ("mean", "max")
_TRIVIAL = np.zeros((1, 1), np.int64)  # the table of the trivial group


class _Sizes(NamedTuple):
    """Sizes and options that determine all shapes; hashable, to cache the plan."""

    batch: int
    channels: int
    order: int
    height: int
    width: int
    planar: bool
    units: int  # of the channel gate's hidden layer; 0 without it
    side: int  # of the spatial kernel; 0 without it
    dilation: tuple[int, int]
    of_positions: tuple[str, ...]
    of_channels: tuple[str, ...]
    combination: tuple[float, float]
    dtype: Any


class _Plan(NamedTuple):
    """Constants of the kernels, and the shapes of the saved tensors, in the order of the memory."""

    rule: Rule
    plane: Plane
    constants: Any
    floats: tuple[tuple[str, tuple[int, ...]], ...]
    integers: tuple[tuple[str, tuple[int, ...]], ...]


def _sizes(x: Tensor, operands: InputAttentionWeights) -> _Sizes:
    channel, spatial = operands.channel, operands.spatial
    planar = x.dim() == 4
    batch, channels, *order, height, width = x.shape
    return _Sizes(
        *(batch, channels, 1 if planar else order[0], height, width, planar),
        *(0 if channel is None else len(channel.fc1) * (1 if planar else order[0]),),
        *(0 if spatial is None else spatial.weight.shape[-1],),
        (1, 1) if spatial is None else spatial.dilation,
        () if channel is None else channel.statistics,
        () if spatial is None else spatial.statistics,
        (operands.combination.skip, operands.combination.attended),
        x.dtype,
    )


@lru_cache(256)
def _plan(sizes: _Sizes) -> _Plan:
    dtype = np.dtype(str(sizes.dtype).removeprefix("torch."))
    rows = [kinds.index(k) if k in kinds else -1 for kinds in (sizes.of_positions, sizes.of_channels) for k in _KINDS]
    plane = plane_of(sizes.height, sizes.width, max(1, sizes.side), sizes.dilation, lanes(dtype))
    outputs, positions = sizes.channels * sizes.order if sizes.units else 0, sizes.height * sizes.width
    order = sizes.order if sizes.side else 0
    floats = {
        "first": (len(sizes.of_positions), outputs),
        "hidden": (len(sizes.of_positions), sizes.units),
        "alpha": (outputs,),
        "seen": (len(sizes.of_channels), order, positions),
        "attention": (order, positions),
    }
    integers = {
        "place": (outputs,),
        "which": (order, positions),
        "pose": (positions if sizes.planar and sizes.side else 0,),
    }
    shapes = [tuple((name, (sizes.batch, *shape)) for name, shape in kind.items()) for kind in (floats, integers)]
    rule = Rule(float(sizes.combination[0]), float(sizes.combination[1]), *rows)
    return _Plan(rule, plane, exponential_constants(dtype), *shapes)


def _cut(memory: np.ndarray, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> dict[str, Any]:
    """Consecutive views of the memory, in these shapes."""
    views, at = {}, 0
    for name, shape in shapes:
        size = prod(shape)
        views[name] = memory[at : at + size].reshape(shape)
        at += size
    return views


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().contiguous().numpy()
    return array


def _maps(x: Tensor) -> np.ndarray:
    """A map as (B, C, |H|, P); a planar one has one pose."""
    array = _array(x)
    order = x.shape[2] if x.dim() == 5 else 1
    return array.reshape(*array.shape[:2], order, array.shape[-2] * array.shape[-1])


def _weights(operands: InputAttentionWeights, dtype: Any) -> Weights:
    channel, spatial = operands.channel, operands.spatial
    fc1 = fc2 = np.empty((0, 0, 0), dtype)
    table, psi, places, scale = _TRIVIAL, np.empty((0, 0), dtype), _TRIVIAL[:0], 1.0
    if channel is not None:
        fc1, fc2 = (_array(w).reshape(*w.shape[:2], -1) for w in (channel.fc1, channel.fc2))
        table = _TRIVIAL if channel.index is None else _table(channel.index, len(channel.index))
    if spatial is not None:
        psi, scale = _array(spatial.weight), spatial.scale
        psi = psi.reshape(psi.shape[1], -1)
        places = _table(spatial.index, psi.shape[1])
        places = places.reshape(len(places), -1)
    return Weights(fc1, fc2, table, psi, places, scale)


def _table(index: Tensor, entries: int) -> np.ndarray:
    """An index table as an array, after a check that a kernel of so many entries has what it names.

    Raises:
        ValueError: if it has not: the compiled kernels would read other memory.
    """
    table = _array(index.long())
    last = table.view(np.uint64).max()  # negative ones are the largest
    if last >= entries:
        raise ValueError(
            f"`index` {table.shape} names entry {last.astype(np.int64)} of a weight with {entries} entries for each "
            "statistic or channel: take the table of `kernel_index` for the group and kernel size of the weight; where "
            "elements interpolate, the weight must be what `sample_kernel` returns"
        )
    return table


def _chunks(maps: np.ndarray, weights: Weights) -> int:
    """The number of chunks of samples, by the work: multiplications of the kernel count an eighth, for SIMD."""
    batch, channels, order, positions = maps.shape
    products = weights.psi.size * len(weights.places)
    work = batch * positions * (channels * order + products // 8)
    return 1 if work < _MIN_WORK else min(batch, _CHUNKS_PER_THREAD * torch.get_num_threads())


def forward(x: Tensor, operands: InputAttentionWeights) -> tuple[Tensor, Tensor, Tensor]:
    """The attended map, and what backward needs: one tensor of floats, and one of indices of maxima."""
    maps = _maps(x)
    plan = _plan(_sizes(x, operands))
    out = x.new_empty(x.shape)
    floats = x.new_empty(sum(prod(shape) for _, shape in plan.floats))
    integers = x.new_empty(sum(prod(shape) for _, shape in plan.integers), dtype=torch.int32)
    kept = Kept(**_cut(floats.numpy(), plan.floats), **_cut(integers.numpy(), plan.integers))
    words = maps.view(np.int32 if maps.itemsize == 4 else np.int64)
    weights = _weights(operands, maps.dtype)
    arguments = (maps, words, weights, plan.rule, plan.plane, plan.constants, kept, _maps(out))
    run_chunks(forward_kernels.forward, len(maps), _chunks(maps, weights), *arguments)
    return out, floats, integers


def backward(
    grad: Tensor, x: Tensor, operands: InputAttentionWeights, floats: Tensor, integers: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients of x and of the weights."""
    maps = _maps(x)
    plan = _plan(_sizes(x, operands))
    kept = Kept(**_cut(floats.numpy(), plan.floats), **_cut(integers.numpy(), plan.integers))
    weights = _weights(operands, maps.dtype)
    chunks = _chunks(maps, weights)
    dx = x.new_empty(x.shape)
    sums = [np.empty((chunks, *w.shape), maps.dtype) for w in (weights.fc1, weights.fc2, weights.psi)]
    arguments = (_maps(grad), maps, weights, plan.rule, plan.plane, kept, _maps(dx), *sums)
    run_chunks(backward_kernels.backward, len(maps), chunks, *arguments)
    found = (torch.from_numpy(total[0] if chunks == 1 else total.sum(0)) for total in sums)
    gradients = (None if w is None else d.view(w.shape) for w, d in zip(operands.tensors(), found, strict=True))
    return dx, *gradients
