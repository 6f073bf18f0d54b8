"""The streaming form on the CPU with compiled kernels: arrays in, threads over tasks, gradients out."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentive_gconv.functional.streaming import numba_kernels as kernels
from attentive_gconv.functional.streaming.problem import Gradients, Problem, Saved, gate_backward

name = "numba"


CHUNKS_PER_THREAD = 4


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process (a forked child makes its own)."""
    return ThreadPoolExecutor(threads, thread_name_prefix="attentive_gconv")


def _run(kernel: Callable[..., None], tasks: int, chunks: int, *arguments: Any) -> None:
    """Run a kernel over all its tasks, in chunks that this thread and its helpers take as they become free.

    PyTorch's own threads spin for some milliseconds after their last work; a fixed share for each thread would wait for
    the one that shares its core with them. Sums are kept by chunk, so that results do not depend on who took which.
    """
    chunks = min(chunks, tasks)
    bounds = [tasks * chunk // chunks for chunk in range(chunks + 1)]
    waiting = iter(range(chunks))

    def work() -> None:
        for chunk in waiting:
            kernel(chunk, bounds[chunk], bounds[chunk + 1], *arguments)

    helpers = min(torch.get_num_threads(), chunks) - 1
    futures = [_pool(helpers, os.getpid()).submit(work) for _ in range(helpers)]
    work()
    for future in futures:
        future.result()


def _chunks(limit: int | None = None) -> int:
    """Into how many chunks work is cut: one for a single thread, else some for each."""
    threads = torch.get_num_threads()
    chunks = 1 if threads == 1 else CHUNKS_PER_THREAD * threads
    return chunks if limit is None else max(1, min(chunks, limit))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _common(problem: Problem, x: Tensor) -> tuple[Any, ...]:
    """What both directions share: spread input, kernel, tap shifts, sizes, factors."""
    geometry, spatial = problem.geometry, problem.spatial
    rows, columns = geometry.output
    of_map, psi_offsets = (1, 1, 0, 1), [0]
    if spatial is not None:
        centre = spatial.padding[0] * spatial.pitch + spatial.padding[1]
        of_map = (spatial.pitch, spatial.wide, centre, spatial.phase[0] * spatial.pitch)
        psi_offsets = spatial.offsets()
    sizes = np.array([rows, columns, geometry.pitch, geometry.wide, *of_map])
    number = np.float64 if x.dtype == torch.float64 else np.float32
    factors = np.array([problem.scale * problem.skip, problem.scale * problem.attended], number)
    return (
        _array(geometry.spread(x)),
        _array(problem.weight),
        np.array(geometry.offsets()),
        np.array(psi_offsets),
        sizes,
        factors,
    )


def _or_empty(tensor: Tensor | None, x: Tensor, dtype: torch.dtype | None = None) -> np.ndarray:
    """The tensor, or a stand-in of one entry for a part that there is not."""
    return _array(tensor if tensor is not None else torch.ones((1,) * 4, dtype=dtype or x.dtype))


def _exponential(kind: np.dtype, chunks: int, length: int) -> tuple[np.ndarray, ...]:
    """Constants and scratch of the kernels' sigmoid."""
    constants, exponent, integers = kernels.exponential_constants(kind)
    bits = np.zeros((chunks, length), integers)
    return constants, exponent, bits, bits.view(kind)


def _window_means(problem: Problem, spread: np.ndarray, offsets: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The mean of every tap's window, which channel statistics need."""
    if problem.fc1 is None:
        return np.zeros((1, 1, 1, 1), spread.dtype)
    out = np.empty((*spread.shape[:3], len(offsets)), spread.dtype)
    tasks = spread.shape[0] * spread.shape[1]
    _run(kernels.window_means, tasks, _chunks(), spread, offsets, sizes, out)
    return out


def forward(problem: Problem, x: Tensor, save: bool, budget: int) -> tuple[Tensor, Saved | None]:
    """Attended responses ``(B, M, Y', X')`` of ``x (B, I, G, Y, X)``, and what backward needs."""
    spread, weight, offsets, psi_offsets, sizes, factors = _common(problem, x)
    out = torch.empty((x.shape[0], problem.outputs, *problem.geometry.output), dtype=x.dtype)
    kept = problem.allocate(x) if save else None
    maps = (kept or Saved()).tensors()
    chunks = _chunks()
    buffers = 4 * problem.channels * problem.geometry.wide * x.element_size() * torch.get_num_threads()
    store = problem.fc1 is not None and buffers <= budget
    flags = np.array([problem.fc1 is not None, problem.psi is not None, save, store])
    _run(
        *(kernels.forward, x.shape[0] * ((problem.outputs + 3) // 4), chunks),
        *(spread, weight, offsets, _or_empty(problem.fc1, x), _or_empty(problem.fc2, x), _or_empty(problem.psi, x)),
        *(psi_offsets, sizes, factors, flags, *_exponential(spread.dtype, chunks, sizes[5])),
        *(_window_means(problem, spread, offsets, sizes), _array(out.flatten(2))),
        *(_or_empty(maps[0], x), _or_empty(maps[1], x), _or_empty(maps[2], x), _or_empty(maps[3], x, torch.uint8)),
        *(_or_empty(maps[4], x), _or_empty(maps[5], x), _or_empty(maps[6], x), _or_empty(maps[7], x, torch.int32)),
    )
    return out, kept


def backward(problem: Problem, x: Tensor, kept: Saved, grad: Tensor, budget: int) -> Gradients:
    """Gradients for ``grad (B, M, Y', X')``; the plain convolution's weight gradient is left to the caller."""
    spread, weight, offsets, psi_offsets, sizes, factors = _common(problem, x)
    psi = problem.psi if problem.psi is not None else torch.ones((1,) * 4, dtype=x.dtype)
    dx = torch.zeros(spread.shape, dtype=x.dtype)
    # every chunk sums into weights of its own
    each = (problem.weight.numel() + psi.numel()) * x.element_size()
    chunks = _chunks(limit=max(budget // each, 1))
    dw = torch.zeros((chunks, *problem.weight.shape), dtype=x.dtype)
    d_psi = torch.zeros((chunks, *psi.shape), dtype=x.dtype)
    d_gate = torch.empty_like(kept.gate) if kept.gate is not None else None
    flags = np.array([problem.fc1 is not None, problem.psi is not None])
    tasks = x.shape[0] * problem.depth
    _run(
        *(kernels.backward, tasks, chunks, spread, weight, offsets, _array(psi), _array(psi.flip(-1))),
        *(psi_offsets, sizes, factors, flags, _array(grad.flatten(2))),
        *(_or_empty(kept.value, x), _or_empty(kept.top, x), _or_empty(kept.alpha, x)),
        *(_or_empty(kept.chosen, x, torch.uint8), _or_empty(kept.gate, x)),
        *(dx.numpy(), _or_empty(d_gate, x), dw.numpy(), d_psi.numpy()),
    )
    d_fc1 = d_fc2 = None
    if d_gate is not None and kept.position is not None:
        d_mean, d_maximum, d_fc1, d_fc2 = gate_backward(problem, kept, d_gate)
        _run(
            *(kernels.statistics_backward, tasks, chunks, spread, weight, offsets, sizes),
            _window_means(problem, spread, offsets, sizes),
            *(_array(d_mean), _array(d_maximum), _array(kept.position), dx.numpy(), dw.numpy()),
        )
    return Gradients(
        problem.geometry.gather(dx), dw.sum(0), d_fc1, d_fc2, d_psi.sum(0) if problem.psi is not None else None
    )
