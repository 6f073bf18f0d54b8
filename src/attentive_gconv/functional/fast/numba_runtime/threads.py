"""Running compiled kernels on several threads: on PyTorch's own, where they can be reached.

PyTorch's OpenMP threads spin for some milliseconds after their last work, in wait for the next. Threads of our own
beside them would share the cores with that spinning: a step of a small network on two cores took longer on two threads
than on one. So the work is given to the same OpenMP runtime that PyTorch has loaded (GNU's libgomp, by its entry point
``GOMP_parallel``, part of its stable binary interface); elsewhere to threads of our own.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

from attentive_gconv.functional.fast.numba_runtime.regions import Run

CHUNKS_PER_THREAD = 4


_PROCESS = os.getpid()


@cache
def _loaded_openmp() -> int | None:
    """Where ``GOMP_parallel`` of the runtime lies that PyTorch has loaded; None if there is no such runtime."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD | os.RTLD_NOW).GOMP_parallel
    except (OSError, AttributeError):
        return None
    return ctypes.cast(function, ctypes.c_void_p).value


def _openmp() -> int | None:
    """`_loaded_openmp`; None in a forked child, where it would wait for the parent's threads."""
    return _loaded_openmp() if os.getpid() == _PROCESS else None


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process (a forked child makes its own)."""
    return ThreadPoolExecutor(threads, thread_name_prefix="attentive_gconv")


def thread_source() -> str:
    """Where the threads come from: PyTorch's OpenMP runtime, or a pool of our own."""
    return "own threads" if _openmp() is None else "PyTorch's OpenMP threads"


def chunk_count(limit: int | None = None) -> int:
    """Into how many chunks work is cut: one for a single thread, else some for each."""
    threads = torch.get_num_threads()
    chunks = 1 if threads == 1 else CHUNKS_PER_THREAD * threads
    return chunks if limit is None else max(1, min(chunks, limit))


def run_chunks(kernel: Callable[..., None], tasks: int, chunks: int, *arguments: Any) -> None:
    """Run a kernel over all its tasks, in chunks that the threads take as they become free.

    Args:
        kernel: called as ``kernel(run, *arguments)``, run a `Run`; it releases the interpreter lock.
        tasks: their number.
        chunks: into how many the tasks are cut. Kernels keep sums by chunk: results do not depend on who took which.
        arguments: of the kernel.
    """
    chunks = min(chunks, tasks)
    threads = min(torch.get_num_threads(), chunks)
    openmp = 0 if threads == 1 else _openmp()
    if openmp is not None:
        kernel(Run(openmp, threads, 0, chunks, chunks, tasks), *arguments)
        return
    waiting = iter(range(chunks))

    def work() -> None:
        for chunk in waiting:
            kernel(Run(0, 1, chunk, chunk + 1, chunks, tasks), *arguments)

    futures = [_pool(threads - 1, os.getpid()).submit(work) for _ in range(threads - 1)]
    work()
    for future in futures:
        future.result()
