"""Instruction sets for measurements on the CPU: all of the processor's, or without AVX-512.

They are chosen by environment variables that oneDNN, MKL, PyTorch's kernels and the compiled kernels of this library
(by Numba) read when a process starts.
"""

import platform
from collections.abc import Mapping

from attentive_gconv.lookup import find

INSTRUCTIONS: dict[str, str] = {
    "native": "all that the processor has",
    "avx2": "as on an x86 processor without AVX-512",
}
_LIBRARIES = {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def instructions_environment(name: str) -> Mapping[str, str]:
    """Environment variables of an instruction set, which a process reads when it starts.

    Raises:
        ValueError: if the set is unknown, or not available on this processor.

    Example:
        >>> instructions_environment("native")
        {}
    """
    find("instruction set", name, INSTRUCTIONS)
    if name == "native":
        return {}
    if platform.machine().lower() not in ("x86_64", "amd64"):
        raise ValueError(f"--instructions {name} is for x86 processors, not {platform.machine()}")
    return {**_LIBRARIES, **_numba_variables()}


def _numba_variables() -> dict[str, str]:
    """Numba's variables for the processor without AVX-512; none without Numba."""
    try:
        from llvmlite import binding
    except ImportError:
        return {}
    features = binding.get_host_cpu_features()
    without = {feature: has and not feature.startswith("avx512") for feature, has in features.items()}
    flags = ",".join(f"{'+' if has else '-'}{feature}" for feature, has in sorted(without.items()))
    return {"NUMBA_CPU_NAME": binding.get_host_cpu_name(), "NUMBA_CPU_FEATURES": flags}
