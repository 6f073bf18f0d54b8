"""Which implementation of the streaming form runs: compiled CPU kernels, GPU kernels, or PyTorch alone."""

import importlib
import importlib.util
import warnings
from functools import cache
from typing import Protocol, cast

import torch
from torch import Tensor

from attentive_gconv.functional.streaming.problem import Gradients, Problem, Saved
from attentive_gconv.lookup import find

BACKENDS = {
    "auto": "the fastest that the device and the installation have",
    "numba": "compiled kernels, CPU",
    "torch": "PyTorch alone, everywhere",
}
_MODULES = {
    "numba": "attentive_gconv.functional.streaming.numba_backend",
    "torch": "attentive_gconv.functional.streaming.torch_backend",
}


class Backend(Protocol):
    """What an implementation offers; see `attentive_gconv.functional.streaming.problem`."""

    name: str

    def forward(self, problem: Problem, x: Tensor, save: bool, budget: int) -> tuple[Tensor, Saved | None]:
        """Attended responses ``(B, M, Y', X')`` of ``x (B, I, G, Y, X)``, and what backward needs."""
        ...

    def backward(self, problem: Problem, x: Tensor, kept: Saved, grad: Tensor, budget: int) -> Gradients:
        """Gradients, all but the plain convolution's weight gradient."""
        ...


def available_backends() -> dict[str, bool]:
    """Which backends can run here."""
    return {name: name == "torch" or importlib.util.find_spec(name) is not None for name in _MODULES}


def get_backend(name: str, device: torch.device) -> Backend:
    """The backend of that name; ``"auto"`` takes the fastest that the device and the installation have.

    Raises:
        ValueError: if the name is unknown.
        ImportError: if the backend was asked for by name and cannot be imported.
    """
    if name == "auto":
        name = _fastest(device.type)
    find("backend", name, _MODULES)
    return cast("Backend", importlib.import_module(_MODULES[name]))


@cache
def _fastest(device: str) -> str:
    if device != "cpu":
        return "torch"
    if available_backends()["numba"]:
        return "numba"
    warnings.warn(
        "full attention runs on its pure-PyTorch fallback, several times slower on the CPU than the compiled kernels; "
        "to get them: pip install 'attentive-gconv[fast]'",
        RuntimeWarning,
        stacklevel=2,
    )
    return "torch"
