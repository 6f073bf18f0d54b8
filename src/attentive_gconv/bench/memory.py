"""Peak memory: the high-water mark of a step, minus the memory held before it.

CPU: resident memory of the process as the operating system counts it, with allocator and libraries. The high-water mark
is Linux's VmHWM, reset through /proc/self/clear_refs; if that cannot be written, the ru_maxrss of a fresh process,
which includes earlier peaks, so that small figures are too low.
GPU: the bytes allocated by PyTorch (`torch.cuda.max_memory_allocated`).
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
    """Number of page faults of this process so far; 0 if the operating system does not count them."""
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@dataclass(frozen=True)
class Peak:
    """Peak memory in bytes beyond the start, and the method of counting."""

    bytes: int
    method: str


def peak_memory(run: Callable[[], None], device: torch.device) -> Peak:
    """Measure the peak memory of a function beyond the memory held when it is called.

    Raises:
        ValueError: if memory cannot be measured on the device or system.
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
    """Reset the process's high-water mark if the system can; return its name and a function that reads it."""
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
    """Make glibc return free memory, which would otherwise count as held before."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
