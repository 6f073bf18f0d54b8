"""Arrays for compiled kernels, aligned to cache lines.

A vector that crosses a cache line costs two accesses. Numba's own arrays are not aligned, so that with vectors as wide
as a line every access would cost two.
"""

from typing import Any

import numpy as np

from attentive_gconv.functional.fast.numba_runtime.jit import in_order

LINE = 64  # bytes


@in_order
def aligned_empty(size: int, like: Any) -> Any:
    """An array of this size, of the dtype of ``like``; its entries are not set."""
    memory = np.empty(size + LINE // like.itemsize, like.dtype)
    start = (-memory.ctypes.data) % LINE // like.itemsize
    return memory[start : start + size]


@in_order
def aligned_zeros(size: int, like: Any) -> Any:
    """An array of zeros."""
    memory = aligned_empty(size, like)
    memory[:] = like.dtype.type(0)
    return memory
