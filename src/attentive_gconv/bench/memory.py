"""Peak memory: the high-water mark of a step, less what the process held just before.

CPU: resident memory of the process (what the operating system counts, allocator and libraries included). The mark is
Linux's VmHWM, set back through /proc/self/clear_refs; where that cannot be written, the ru_maxrss of a fresh process,
which then also holds whatever was higher before, so that small figures come out too low.
GPU: the bytes that PyTorch's allocator has given out (`torch.cuda.max_memory_allocated`).
"""

import ctypes
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


def page_faults() -> int:
    """Page faults of this process so far; 0 where the operating system does not say."""
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@dataclass(frozen=True)
class Peak:
    """Peak memory in bytes beyond the start, and the method of counting."""

    bytes: int
    method: str


def peak_memory(run: Callable[[], None], device: torch.device) -> Peak:
    """Measure the peak memory of a function beyond what the process holds when it is called.

    Raises:
        ValueError: on a device or system that memory cannot be measured on.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return Peak(torch.cuda.max_memory_allocated(device) - before, "max_memory_allocated")
    if device.type != "cpu":
        raise ValueError(f"--device {device}: memory can be measured on cpu and cuda only; leave it out with --what")
    give_back_free_memory()
    method, mark = start_mark()
    before = mark()
    run()
    return Peak(mark() - before, method)


def start_mark() -> tuple[str, Callable[[], int]]:
    """Set the process's high-water mark back, where the system can; its name, and a function that reads it."""
    try:
        CLEAR.write_text(RESET_PEAK, encoding="ascii")
        high_water_mark()
    except (OSError, ValueError):
        return "ru_maxrss", largest_resident
    return "VmHWM", high_water_mark


def high_water_mark() -> int:
    """Linux's VmHWM, in bytes."""
    for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{STATUS} has no VmHWM")


def largest_resident() -> int:
    """The largest resident size of this process since it began, in bytes."""
    if resource is None:
        raise ValueError("peak memory cannot be measured on this system; leave it out with --what train,inference")
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def give_back_free_memory() -> None:
    """Have glibc return what it holds back for later, which would otherwise count as held before."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
