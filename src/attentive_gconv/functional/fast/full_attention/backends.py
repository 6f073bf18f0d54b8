"""Which implementation of the streaming form runs: compiled CPU kernels, GPU kernels, or PyTorch alone."""

import importlib
import importlib.util
import os
import warnings
from functools import cache
from typing import Protocol, cast

import torch
from torch import Tensor

from attentive_gconv.functional.fast.full_attention.problem import Gradients, Problem, Saved
from attentive_gconv.lookup import find

BACKENDS = {
    "auto": "the fastest that the device and the installation have",
    "numba": "compiled kernels, CPU",
    "triton": "compiled kernels, GPU",
    "torch": "PyTorch alone, everywhere",
}
_MODULES = {
    "numba": "attentive_gconv.functional.fast.full_attention.numba_backend",
    "triton": "attentive_gconv.functional.fast.full_attention.triton_backend",
    "torch": "attentive_gconv.functional.fast.full_attention.torch_backend",
}


class Backend(Protocol):
    """What an implementation offers; see `attentive_gconv.functional.fast.full_attention.problem`."""

    name: str

    def forward(self, problem: Problem, x: Tensor, save: bool, budget: int) -> tuple[Tensor, Saved | None]:
        """Attended responses ``(B, M, Y', X')`` of ``x (B, I, G, Y, X)``, and what backward needs."""
        ...

    def backward(self, problem: Problem, x: Tensor, kept: Saved, grad: Tensor, budget: int) -> Gradients:
        """Gradients, all but the plain convolution's weight gradient."""
        ...


def available_backends() -> dict[str, bool]:
    """Which backends can run here, on one device or another."""
    installed = {name: name == "torch" or importlib.util.find_spec(name) is not None for name in _MODULES}
    return {**installed, "triton": installed["triton"] and (torch.cuda.is_available() or _interpreted())}


def get_backend(name: str, device: torch.device) -> Backend:
    """The backend of that name; ``"auto"`` takes the fastest that the device and the installation have.

    Raises:
        ValueError: if the name is unknown, or the backend cannot compute on that device.
        ImportError: if the backend was asked for by name and cannot be imported.
    """
    if name == "auto":
        name = fastest_backend(device.type)
    module = find("backend", name, _MODULES)
    if name != "torch" and device.type not in _devices(name):
        raise ValueError(
            f"`backend` (={name!r}) does not compute on {device.type}; take 'auto' or 'torch', or move the layer and "
            f"its input to a device of type {_devices(name)[0]}"
        )
    return cast("Backend", importlib.import_module(module))


def _devices(name: str) -> list[str]:
    """The types of devices that a compiled backend is for. Triton's interpreter runs its kernels on the CPU."""
    if name == "numba":
        return ["cpu"]
    return ["cuda", "cpu"] if _interpreted() else ["cuda"]


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def fastest_backend(device: str) -> str:
    """The fastest that this type of device and the installation have; a warning, once, if it is a fallback."""
    compiled = {"cpu": "numba", "cuda": "triton"}.get(device, "torch")
    if compiled == "torch" or available_backends()[compiled]:
        return compiled
    remedy = {"numba": "pip install 'attentive-gconv[fast]'", "triton": "pip install triton"}[compiled]
    warnings.warn(
        f"attention runs on its pure-PyTorch fallback, slower on {device} than the compiled kernels; to get them: "
        f"{remedy}",
        RuntimeWarning,
        stacklevel=2,
    )
    return "torch"
