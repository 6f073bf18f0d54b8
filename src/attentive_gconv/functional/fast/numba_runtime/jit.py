"""Compile settings of the CPU kernels, in two modes.

    in_order    sums and products in the order of the source; multiply-adds may be fused. NaN, infinities and ties are
                treated as the definition treats them.
    reordered   sums may be split over the lanes of a vector, too: for plain sums over positions or channels.

Both release the interpreter lock, keep the machine code on disk, and divide as NumPy does.
"""

from typing import Any

from numba import njit

_EVERY: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}

in_order = njit(**_EVERY, fastmath={"contract"})
reordered = njit(**_EVERY, fastmath={"reassoc", "contract", "nsz"})
