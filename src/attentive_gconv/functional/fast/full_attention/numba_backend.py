"""The streaming form on the CPU with compiled kernels: arrays in, threads over tasks, gradients out.

Weights and what is kept between forward and backward are in blocks of as many outputs as fill one vector:
``(block, G, ..., L)`` and ``(B, block, G, ..., L)``, M padded with outputs of zero weights.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.fast.full_attention import backward_kernels, forward_kernels
from attentive_gconv.functional.fast.full_attention.gate_kernels import Flags, Sizes
from attentive_gconv.functional.fast.full_attention.layout import Geometry, index_dtype
from attentive_gconv.functional.fast.full_attention.problem import Gradients, Problem, Saved
from attentive_gconv.functional.fast.numba_runtime.logistic import exponential_constants
from attentive_gconv.functional.fast.numba_runtime.simd import lanes
from attentive_gconv.functional.fast.numba_runtime.threads import chunk_count, run_chunks

name = "numba"


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().view(-1).numpy()


def _or_empty(tensor: Tensor | None, like: Tensor, dtype: torch.dtype | None = None) -> np.ndarray:
    """The tensor or, where it is absent, an array of one entry: the same kernel for layers with it and without."""
    return _array(tensor if tensor is not None else like.new_ones(1, dtype=dtype))


def _in_blocks(weights: Tensor, count: int) -> Tensor:
    """``(G, M, ...)`` -> ``(block, G, ..., L)``."""
    missing = -weights.shape[1] % count
    padded = F.pad(weights, (0, 0) * (weights.dim() - 2) + (0, missing))
    return padded.unflatten(1, (-1, count)).movedim(2, -1).transpose(0, 1).contiguous()


def _from_blocks(blocks: Tensor, outputs: int) -> Tensor:
    """The inverse of `_in_blocks`."""
    return blocks.transpose(0, 1).movedim(-1, 2).flatten(1, 2)[:, :outputs]


class _Work(NamedTuple):
    """A problem as the kernels take it: after x, the fields up to the factors are their arguments, in order."""

    weight: np.ndarray
    fc1: np.ndarray
    fc2: np.ndarray
    psi: np.ndarray
    offsets: np.ndarray
    bases: np.ndarray
    map_offsets: np.ndarray
    map_bases: np.ndarray
    sizes: Sizes
    flags: Flags
    factors: np.ndarray
    blocked: dict[str, Tensor]

    def arguments(self, geometry: Geometry, x: Tensor) -> tuple[Any, ...]:
        """The kernels' first arguments, for this input."""
        return (_array(geometry.spread(x.detach())), *self[:-1])


@lru_cache(maxsize=256)
def _offsets(geometry: Geometry) -> np.ndarray:
    """Offset of each tap in a spread plane, relative to that of the output position. Not to be written to."""
    return np.array(geometry.offsets())


@lru_cache(maxsize=256)
def _bases(geometry: Geometry) -> np.ndarray:
    """Where each output position lies in a spread plane. Not to be written to."""
    rows, columns = geometry.output
    return (np.arange(rows)[:, None] * geometry.pitch + np.arange(columns)).ravel()


def _prepare(problem: Problem) -> _Work:
    """The problem as the kernels take it, cached with the problem."""
    if name not in problem.forms:
        problem.forms[name] = _pack(problem)
    work: _Work = problem.forms[name]
    return work


def _pack(problem: Problem) -> _Work:
    geometry, spatial, like = problem.geometry, problem.spatial, problem.weight
    kind: Any = np.float64 if like.dtype == torch.float64 else np.float32
    count = lanes(np.dtype(kind))
    weights = {"weight": problem.weight, "fc1": problem.fc1, "fc2": problem.fc2}
    if problem.psi is not None:
        weights["psi"] = problem.psi.transpose(2, 3)
    blocked = {name: _in_blocks(weight.detach(), count) for name, weight in weights.items() if weight is not None}
    maps = (1, 0, 0) if spatial is None else _map_sizes(spatial)
    sizes = Sizes(
        depth=problem.depth,
        channels=problem.channels,
        blocks=blocked["weight"].shape[0],
        outputs=problem.outputs,
        taps=problem.weight.shape[-1],
        positions=geometry.output[0] * geometry.output[1],
        plane=geometry.length,
        phase_plane=geometry.phase[0] * geometry.phase[1],
        hidden=problem.fc1.shape[2] if problem.fc1 is not None else 0,
        map_taps=maps[0],
        map_plane=maps[1],
        map_centre=maps[2],
    )
    return _Work(
        _or_empty(blocked.get("weight"), like),
        _or_empty(blocked.get("fc1"), like),
        _or_empty(blocked.get("fc2"), like),
        _or_empty(blocked.get("psi"), like),
        _offsets(geometry),
        _bases(geometry),
        _offsets(spatial) if spatial is not None else np.zeros(1, np.int64),
        _bases(spatial) if spatial is not None else np.zeros(sizes.positions, np.int64),
        sizes,
        Flags(problem.fc1 is not None, spatial is not None),
        np.array([problem.scale * problem.skip, problem.scale * problem.attended], kind),
        blocked,
    )


def _map_sizes(spatial: Geometry) -> tuple[int, int, int]:
    (rows, pitch), (py, px) = spatial.phase, spatial.padding
    return spatial.kernel[0] * spatial.kernel[1], rows * pitch, py * pitch + px


def _allocate(work: _Work, x: Tensor) -> Saved:
    """Empty tensors for what backward needs, see `Saved`: ``(B, block, G, P or I, L)``."""
    sizes, count = work.sizes, work.blocked["weight"].shape[-1]
    lead = (x.shape[0], sizes.blocks, sizes.depth)
    maps, gates = (*lead, sizes.positions, count), (*lead, sizes.channels, count)
    saved = Saved()
    if work.flags.spatial:
        saved.value, saved.top, saved.alpha = (x.new_empty(maps) for _ in range(3))
        saved.chosen = x.new_empty(maps, dtype=index_dtype(sizes.channels))
    if work.flags.channel:
        saved.mean, saved.maximum = (x.new_empty(gates) for _ in range(2))
        saved.position = x.new_empty(gates, dtype=index_dtype(sizes.positions))
    return saved


def _kept_arrays(kept: Saved, x: Tensor) -> tuple[np.ndarray, ...]:
    integers = {"chosen": torch.int16, "position": torch.int16}
    return tuple(_or_empty(getattr(kept, name), x, integers.get(name)) for name in Saved.names())


def forward(problem: Problem, x: Tensor, save: bool, budget: int) -> tuple[Tensor, Saved | None]:
    """Attended responses ``(B, M, Y', X')`` of ``x (B, I, G, Y, X)``, and what backward needs."""
    work = _prepare(problem)
    out = x.new_empty((x.shape[0], problem.outputs, *problem.geometry.output))
    kept = _allocate(work, x) if save else None
    arrays = _kept_arrays(kept, x) if kept else (None,) * len(Saved.names())
    constants = exponential_constants(work.weight.dtype)
    tasks = x.shape[0] * work.sizes.blocks
    given = work.arguments(problem.geometry, x)
    run_chunks(forward_kernels.forward, tasks, chunk_count(), *given, constants, _array(out), *arrays)
    return out, kept


def backward(problem: Problem, x: Tensor, kept: Saved, grad: Tensor, budget: int) -> Gradients:
    """Gradients for ``grad (B, M, Y', X')``; the plain convolution's weight gradient is left to the caller."""
    work = _prepare(problem)
    sizes, count = work.sizes, work.blocked["weight"].shape[-1]
    rows = x.new_zeros((x.shape[0], sizes.blocks, sizes.positions, count))
    run_chunks(
        backward_kernels.into_blocks, x.shape[0] * sizes.blocks, chunk_count(), _array(grad), sizes, _array(rows)
    )
    windows = problem.geometry.window_means(x.detach()) if work.flags.channel else None
    dx = x.new_zeros((*x.shape[:1], sizes.depth, sizes.channels, sizes.plane))
    # every chunk sums into weights of its own
    each = sum(weights.numel() for weights in work.blocked.values()) * x.element_size()
    chunks = chunk_count(limit=max(budget // each, 1))
    sums = {name: x.new_zeros((chunks, *weights.shape)) for name, weights in work.blocked.items()}
    run_chunks(
        *(backward_kernels.backward, x.shape[0] * problem.depth, chunks),
        *(*work.arguments(problem.geometry, x), _or_empty(windows, x), _array(rows)),
        *(exponential_constants(work.weight.dtype), *_kept_arrays(kept, x), _array(dx)),
        *(_or_empty(sums.get(name), x) for name in ("weight", "fc1", "fc2", "psi")),
    )
    found = {name: _from_blocks(parts.sum(0), problem.outputs) for name, parts in sums.items()}
    if "psi" in found:
        found["psi"] = found["psi"].transpose(2, 3)
    return Gradients(problem.geometry.gather(dx), **found)
