"""Compile settings of the CPU kernels, in two modes.

    in_order    sums and products in the order of the source; multiply-adds may be fused. NaN, infinities and ties are
                treated as the definition treats them.
    reordered   sums may be split over the lanes of a vector, too: for plain sums over positions or channels.

Both release the interpreter lock, keep the machine code on disk (`KernelCache`), and divide as NumPy does.
"""

from collections.abc import Callable
from typing import Any

from numba import config, njit

from attentive_gconv.functional.fast.numba_runtime.kernel_cache import KernelCache

if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set, and the kernels are for the compiler alone")


def _compiler(fastmath: set[str]) -> Callable[[Callable[..., Any]], Any]:
    compile_lazily = njit(nogil=True, error_model="numpy", fastmath=fastmath)

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = compile_lazily(function)
        dispatcher._cache = KernelCache(function)  # where Numba's `cache=True` has its own
        return dispatcher

    return decorate


in_order = _compiler({"contract"})
reordered = _compiler({"reassoc", "contract", "nsz"})
