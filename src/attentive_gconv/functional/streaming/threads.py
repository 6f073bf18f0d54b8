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

CHUNKS_PER_THREAD = 4

_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@cache
def _openmp() -> Any:
    """``GOMP_parallel`` of the runtime that PyTorch has loaded; None if there is no such runtime."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD | os.RTLD_NOW).GOMP_parallel
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = [_Callback, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return function


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
        kernel: called as ``kernel(chunk, start, stop, *arguments)``; it releases the interpreter lock.
        tasks: their number.
        chunks: into how many the tasks are cut. Kernels keep sums by chunk: results do not depend on who took which.
        arguments: of the kernel.
    """
    chunks = min(chunks, tasks)
    bounds = [tasks * chunk // chunks for chunk in range(chunks + 1)]
    waiting = iter(range(chunks))
    failures: list[BaseException] = []

    def work(_: Any = None) -> None:
        try:
            for chunk in waiting:
                kernel(chunk, bounds[chunk], bounds[chunk + 1], *arguments)
        except BaseException as error:  # handed to the caller: nothing can be raised through OpenMP
            failures.append(error)

    threads = min(torch.get_num_threads(), chunks)
    if threads == 1:
        work()
    elif (openmp := _openmp()) is not None:
        openmp(_Callback(work), None, threads, 0)
    else:
        futures = [_pool(threads - 1, os.getpid()).submit(work) for _ in range(threads - 1)]
        work()
        for future in futures:
            future.result()
    if failures:
        raise failures[0]
