"""Facts that determine speed: machine, versions, threads, allocator, backends of full attention."""

import os
import warnings
from typing import Any

import torch

from attentive_gconv.bench.allocators import ALLOCATORS, allocator_environment
from attentive_gconv.environment import describe_environment
from attentive_gconv.functional.fast.dispatch import BACKENDS, available_backends, get_backend
from attentive_gconv.functional.fast.irreps_conv.form_rule import Size, has_kernels, irreps_are_faster
from attentive_gconv.groups import FiniteGroup, list_groups
from attentive_gconv.groups import group as find_group

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ALLOCATOR_VARIABLES = ("LD_PRELOAD", "MALLOC_CONF", "GLIBC_TUNABLES")


def describe() -> dict[str, Any]:
    """All facts as plain values."""
    here = available_backends()
    return {
        "environment": describe_environment(),
        "threads": {
            "torch": torch.get_num_threads(),
            "between operations": torch.get_num_interop_threads(),
            **_set_variables(THREAD_VARIABLES),
        },
        "allocator": {
            "settings": {name: _available(name) for name in ALLOCATORS},
            "variables": _set_variables(ALLOCATOR_VARIABLES, prefix="MALLOC_"),
        },
        "backends": {
            name: {"description": text, "available": here[name]} for name, text in BACKENDS.items() if name in here
        },
        "auto": {device: chosen_backend(device) for device in _devices()},
        "group convolution": convolution_forms(),
    }


def convolution_forms() -> dict[str, int | None]:
    """The number of positions from which training on the CPU takes irreducible representations for group convolutions.

    Returns:
        For each group, for 32 channels and 3 x 3 kernels; None without compiled kernels.
    """
    return {name: _first_positions(find_group(name)) for name in list_groups() if find_group(name).order > 1}


def _first_positions(group: FiniteGroup) -> int | None:
    if not has_kernels(group):
        return None
    size = Size(group, 32, 32, 3, 1, strided=False, training=True, threads=torch.get_num_threads())
    taken = (n for n in range(30) if irreps_are_faster(size._replace(positions=2**n)))
    return 2 ** next(taken)


def chosen_backend(device: str) -> dict[str, str | None]:
    """The backend that ``"auto"`` chooses on a device, and how to install a faster one."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        chosen = get_backend("auto", torch.device(device))
    advice = " ".join(str(warning.message) for warning in said if issubclass(warning.category, RuntimeWarning))
    return {"backend": chosen.name, "advice": advice or None}


def _devices() -> list[str]:
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return ["cpu"] if accelerator is None else ["cpu", accelerator.type]


def _available(name: str) -> str | None:
    """None if the setting is available; else why not."""
    try:
        allocator_environment(name)
    except ValueError as error:
        return str(error)
    return None


def _set_variables(names: tuple[str, ...], prefix: str | None = None) -> dict[str, str]:
    matching = [name for name in os.environ if prefix and name.startswith(prefix)]
    return {name: os.environ[name] for name in sorted({*names, *matching}) if name in os.environ}


def lines(facts: dict[str, Any]) -> list[str]:
    """The facts as lines of text."""
    about = facts["environment"]
    memory = f"{about['memory_bytes'] / 2**30:.1f} GiB" if about["memory_bytes"] else "unknown memory"
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in about["packages"].items())
    found = [
        f"machine    {about['processor'] or 'unknown processor'}, {about['cores']} cores, {memory}",
        f"           {about['platform']}",
        f"GPUs       {', '.join(about['gpus']) or 'none'}",
        f"versions   python {about['python']}, {versions}",
        f"revision   {about['git_revision'] or 'none: not a checkout'}",
        f"threads    {', '.join(f'{name} {number}' for name, number in facts['threads'].items())}",
        "",
        "allocator settings of --allocator",
    ]
    for name, text in ALLOCATORS.items():
        reason = facts["allocator"]["settings"][name]
        found.append(f"  {name:<9}{text if reason is None else f'not available: {reason}'}")
    if facts["allocator"]["variables"]:
        found.append("  set here " + ", ".join(f"{n}={value}" for n, value in facts["allocator"]["variables"].items()))
    found += ["", "backends of full attention"]
    for name, backend in facts["backends"].items():
        found.append(f"  {name:<9}{backend['description']}: {'available' if backend['available'] else 'missing'}")
    for device, chosen in facts["auto"].items():
        found.append(f'  "auto" takes {chosen["backend"]} on {device}')
        if chosen["advice"]:
            found.append(f"  {chosen['advice']}")
    found += ["", "group convolution in training, 32 channels, 3 x 3, on cpu"]
    for name, first in facts["group convolution"].items():
        irreps = "no compiled kernels: pip install 'attentive-gconv[fast]'"
        if first is not None:
            irreps = f"by irreps from {first} positions (batch x height x width) on"
        found.append(f"  {name:<9}{irreps}")
    return found
