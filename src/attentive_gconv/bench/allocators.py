"""Settings of the memory allocator for measurements on the CPU.

By default glibc returns large freed blocks to the operating system, and the next block faults its pages in again.
Networks that allocate and free large tensors in every step spend much of their time on page faults.
"""

import ctypes.util
import sys
from collections.abc import Mapping

from attentive_gconv.lookup import find

_KEEP = str(1 << 40)

ALLOCATORS: dict[str, str] = {
    "default": "as the system has it",
    "tuned": "glibc keeps freed memory (MALLOC_TRIM_THRESHOLD_, MALLOC_TOP_PAD_, MALLOC_MMAP_MAX_)",
    "jemalloc": "jemalloc, keeping freed memory",
}


def allocator_environment(name: str) -> Mapping[str, str]:
    """Environment variables of an allocator setting, which a process reads when it starts.

    Raises:
        ValueError: if the setting is unknown, or not available on this system.

    Example:
        >>> allocator_environment("default")
        {}
    """
    find("allocator", name, ALLOCATORS)
    if name == "default":
        return {}
    if sys.platform != "linux":
        raise ValueError(f"--allocator {name} is for Linux, not {sys.platform}; --allocator default works everywhere")
    if name == "tuned":
        # no blocks by mmap, and a heap that never shrinks
        return {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": _KEEP, "MALLOC_TOP_PAD_": str(64 << 20)}
    library = ctypes.util.find_library("jemalloc")
    if library is None:
        raise ValueError(
            "--allocator jemalloc: the library is not installed (Debian, Ubuntu: apt install libjemalloc2)"
        )
    return {"LD_PRELOAD": library, "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1"}
