"""Memory of compiled kernels that begins with a line of the cache.

A vector that crosses the end of a line is two accesses. Numba's own arrays begin anywhere, so that with vectors as
wide as a line every access would be two.
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
