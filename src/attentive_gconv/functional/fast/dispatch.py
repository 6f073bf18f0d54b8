"""Dispatch: the rules by which an implementation of an operation is chosen. No other file has any.

    the operation is called under, or on                               implementation
    -----------------------------------------------------------------  -------------------------------------------------
    torch.func transforms, batched gradients, forward-mode             definition: these act on the PyTorch operations
    derivatives, tensor subclasses, fake and meta tensors, dispatch    inside, which custom kernels do not have
    and function modes (FLOP counters, loggers), tracing
    torch.export                                                       definition; full attention: by chunks of outputs
    torch.compile                                                      definition; full attention, and convolutions for
                                                                       which irreps can pay: library operators
    a gradient of a gradient, from any fast form                       definition, in the backward pass
    autocast                                                           full attention: float32 inside, the result in the
                                                                       low precision; the others: definition
    anything else                                                      fast, on the backend of the device

Custom autograd functions support plain tensors and reverse-mode differentiation alone; `is_ordinary` says whether a
call needs no more. Which of the two forms of a group convolution is faster depends on its sizes:
`attentive_gconv.functional.fast.irreps_conv.form_rule`.
"""

import contextlib
import importlib
import os
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

from attentive_gconv.lookup import find

Rule = TypeVar("Rule", bound=Callable[..., bool])
METHODS = {"streaming": "exact, without the tensor f~", "definition": "the formulas in plain PyTorch"}
BACKENDS = {
    "auto": "the fastest that the device and the installation have",
    "numba": "compiled kernels, CPU",
    "triton": "compiled kernels, GPU",
    "torch": "PyTorch alone, everywhere",
}
_REMEDY = {"numba": "pip install 'attentive-gconv[fast]'", "triton": "pip install triton"}
_ROOM = "attentive_gconv.functional.fast.full_attention"
_MODULES = {"numba": f"{_ROOM}.numba_backend", "triton": f"{_ROOM}.triton_backend", "torch": f"{_ROOM}.torch_backend"}


def is_ordinary(*tensors: Tensor | None) -> bool:
    """Whether a call on these tensors needs no more than evaluation and reverse-mode differentiation.

    Example:
        >>> is_ordinary(torch.ones(2)), torch.func.vmap(lambda x: x + is_ordinary(x))(torch.zeros(1)).item()
        (True, 0.0)
    """
    return not torch.compiler.is_compiling() and not _needs_definition(*tensors)


def is_compiling() -> bool:
    """Whether `torch.compile` traces the operation."""
    return torch.compiler.is_compiling()


def is_tracing() -> bool:
    """Whether `torch.jit.trace` records. It checks its trace without gradients, and must see the same operations."""
    return torch.jit.is_tracing()


def _needs_definition(*tensors: Tensor | None) -> bool:
    """Whether a transform, a mode, a tracer or a special tensor acts on the PyTorch operations inside."""
    if torch._C._are_functorch_transforms_active():
        return True
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    if is_tracing() or _modes_are_active():
        return True
    for t in tensors:  # noqa: SIM110, a generator would cost as much again
        if t is not None and not _is_plain(t):
            return True
    return False


def sizes_are_plain() -> bool:
    """Whether shapes are ordinary numbers, for rules that look at sizes alone: not under a compiler, tracer or mode."""
    return not (torch.compiler.is_compiling() or is_tracing() or _modes_are_active())


def _modes_are_active() -> bool:
    """Whether dispatch or function modes are active. The default device is a mode, too, but changes no operation."""
    if torch._C._len_torch_dispatch_stack():
        return True
    if not torch._C._len_torch_function_stack():
        return False
    return any(not isinstance(mode, DeviceContext) for mode in _get_current_function_mode_stack())


def _is_plain(t: Tensor) -> bool:
    """Whether a tensor is of no subclass, not on the meta device, not batched by autograd, and has no tangent."""
    if type(t) not in (Tensor, nn.Parameter) or t.is_meta or torch._C._functorch.is_legacy_batchedtensor(t):
        return False
    return forward_ad._current_level < 0 or forward_ad.unpack_dual(t).tangent is None


def is_recorded(*tensors: Tensor | None) -> bool:
    """Whether autograd records operations on these tensors.

    Example:
        >>> is_recorded(torch.ones(2)), is_recorded(None, torch.ones(2, requires_grad=True))
        (False, True)
    """
    # torch.compile cannot trace the question for inference mode
    if not torch.is_grad_enabled() or (not torch.compiler.is_compiling() and torch.is_inference_mode_enabled()):
        return False
    return any(t is not None and t.requires_grad for t in tensors)


def is_compiled_on_cpu(*tensors: Tensor | None) -> bool:
    """Whether the compiled CPU kernels support these tensors in the present context."""
    given = [t for t in tensors if t is not None]
    if given[0].numel() == 0 or not _are_cpu_floats(given):
        return False
    return is_ordinary(*given) and not torch.is_autocast_enabled("cpu") and fastest_backend("cpu") == "numba"


def _are_cpu_floats(given: list[Tensor]) -> bool:
    """Whether all are on the CPU and of one dtype, float32 or float64."""
    dtype = given[0].dtype
    if dtype not in (torch.float32, torch.float64):
        return False
    for t in given:  # noqa: SIM110, a generator would cost as much again
        if not t.is_cpu or t.dtype is not dtype:
            return False
    return True


def constant_when_compiled(function: Rule) -> Rule:
    """Decorator of rules on plain numbers: `torch.compile` does not trace them, it calls them and keeps the result."""
    # as torch.compiler.assume_constant_result, which would import the compiler, and that takes seconds
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def takes_cpu_operators(*tensors: Tensor | None) -> bool:
    """Whether `torch.compile` traces an operation on these tensors that library operators on the CPU support."""
    if not torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return False
    if torch._C._are_functorch_transforms_active() or torch.is_autocast_enabled("cpu"):
        return False
    return _are_cpu_floats([t for t in tensors if t is not None])


def takes_custom_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether to use the convolution with a custom input gradient: on the CPU, where that gradient is needed."""
    if torch.compiler.is_compiling() or not is_recorded(x):
        return False
    known = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    return known and is_ordinary(x, weight, bias) and not torch.is_autocast_enabled("cpu")


def takes_maxima_of_slices(planes: Tensor) -> bool:
    """Whether to pool by elementwise maxima: on the CPU, without gradients."""
    known = planes.device.type == "cpu" and planes.is_floating_point()
    return known and is_ordinary(planes) and not is_recorded(planes)


def takes_streaming(method: str, *tensors: Tensor | None) -> bool:
    """Whether to use the streaming form of full attention, that is, unless the definition is requested or needed.

    Raises:
        ValueError: if the method is unknown.
    """
    if method not in METHODS:
        find("method", method, METHODS)
    x = tensors[0]
    if method == "definition" or x is None or x.numel() == 0:
        return False
    if not _needs_definition(*tensors):
        return True
    if not (x.is_meta or torch.compiler.is_exporting()):
        _warn_that_the_definition_runs()
    return False


def takes_chunks(method: str) -> bool:
    """Whether to use the chunked form of full attention, in standard operators: under `torch.export`."""
    return method == "streaming" and torch.compiler.is_exporting() and not torch._C._are_functorch_transforms_active()


@cache
def _warn_that_the_definition_runs() -> None:
    """Warn once."""
    warnings.warn(
        "under transforms of torch.func, dispatch modes, tracing and forward-mode differentiation full attention is "
        "computed by its definition, with far more memory and time than the streaming form; that form runs under "
        "torch.autograd, or set method='definition' if this is meant",
        RuntimeWarning,
        stacklevel=4,
    )


def casts(x: Tensor) -> bool:
    """Whether autocast is enabled for tensors like x, which may then have another dtype than the weights."""
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def check_dtype(owner: str, x: Tensor, *weights: Tensor | None) -> None:
    """Raise ValueError unless x has the dtype of the weights, or autocast converts them."""
    for weight in weights:
        if weight is not None and weight.dtype != x.dtype and not casts(x):
            raise ValueError(
                f"{owner} got x of dtype {x.dtype} and weights of dtype {weight.dtype}: convert one of them, as with "
                f"layer.to({x.dtype}), or use torch.autocast"
            )


def precision(x: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """The dtype that full attention computes in, and that of its result: the dtype of x, or that of autocast."""
    wanted = torch.get_autocast_dtype(x.device.type) if casts(x) and x.dtype != torch.float64 else x.dtype
    return (torch.float32 if wanted.itemsize < 4 else wanted), wanted


def without_autocast(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    """A context without autocast for tensors like x."""
    # no context where autocast is off already: an exported graph would hold it as an operation
    return torch.autocast(x.device.type, enabled=False) if casts(x) else contextlib.nullcontext()


def available_backends() -> dict[str, bool]:
    """Whether each backend of full attention can run on some device of this machine."""
    device = {"triton": torch.cuda.is_available() or _interpreted()}
    return {name: device.get(name, True) and _import_failure(name) is None for name in _MODULES}


@cache
def _import_failure(name: str) -> str | None:
    """Why a backend cannot be imported; None if it can. Broken installations raise errors of any class."""
    try:
        importlib.import_module(_MODULES[name])
    except Exception as error:
        return f"{type(error).__name__}: {error}".split("\n")[0]
    return None


def get_backend(name: str, device: torch.device) -> Any:
    """The backend of that name; ``"auto"`` takes the fastest that the device and the installation have.

    Returns:
        The module of the backend, see `attentive_gconv.functional.fast.full_attention.problem.Backend`.

    Raises:
        ValueError: if the name is unknown, or the backend cannot compute on that device.
        ImportError: if the backend was asked for by name and cannot be imported.
    """
    if name == "auto":
        name = fastest_backend(device.type)
    module = _MODULES.get(name) or find("backend", name, _MODULES)
    if name != "torch" and device.type not in _devices(name):
        raise ValueError(
            f"`backend` (={name!r}) does not compute on {device.type}; take 'auto' or 'torch', or move the layer and "
            f"its input to a device of type {_devices(name)[0]}"
        )
    if failure := _import_failure(name):
        remedy = _REMEDY.get(name, "mend the installation")
        raise ImportError(f"`backend` (={name!r}) cannot be imported: {failure}; take 'auto' or 'torch', or {remedy}")
    return importlib.import_module(module)


def _devices(name: str) -> list[str]:
    """The types of devices that a compiled backend is for. Triton's interpreter runs its kernels on the CPU."""
    if name == "numba":
        return ["cpu"]
    return ["cuda", "cpu"] if _interpreted() else ["cuda"]


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def fastest_backend(device: str) -> str:
    """The fastest backend that this type of device and the installation have; warns, once, of a slow fallback."""
    compiled = {"cpu": "numba", "cuda": "triton"}.get(device, "torch")
    if compiled == "torch" or available_backends()[compiled]:
        return compiled
    warnings.warn(
        f"attention runs on its pure-PyTorch fallback, slower on {device} than the compiled kernels "
        f"({_import_failure(compiled) or 'not available'}); to get them: {_REMEDY[compiled]}",
        RuntimeWarning,
        stacklevel=2,
    )
    return "torch"
