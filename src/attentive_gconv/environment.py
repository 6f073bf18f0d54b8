"""Provenance of results: machine, package versions, git revision and command line."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    *("attentive-gconv", "torch", "torchvision", "lightning", "torchmetrics", "numpy", "scikit-learn"),
    *("numba", "triton"),
)


def describe_environment() -> dict[str, Any]:
    """Provenance of this process, as plain values."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [_program(), *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": usable_cores(),
        "memory_bytes": memory_bytes(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "threads": torch.get_num_threads(),
        "packages": versions,
        "git_revision": git_revision(),
    }


def processor_name() -> str | None:
    """Name of the processor; None if it is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def require_workers(workers: int) -> None:
    """Refuse more worker processes than this machine can run.

    Raises:
        ValueError: if there are more than eight for each usable core.
    """
    most = 8 * usable_cores()
    if workers > most:
        raise ValueError(f"workers (={workers}) is more than this machine can run: take at most {most}")


def memory_bytes() -> int | None:
    """The machine's memory in bytes; None if it is unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def git_revision() -> str | None:
    """Git revision of the checkout that this library runs from; None if it runs from none.

    "-dirty" is appended if files of the package differ from it; other files of the checkout do not count.
    """
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        # a package that is installed inside another project's checkout has no revision
        git("ls-files", "--error-unmatch", Path(__file__).name)
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _program() -> str:
    """Name of the program; `python -m attentive_gconv` is `agconv`."""
    name = Path(sys.argv[0]).name
    return "agconv" if name == "__main__.py" else name
