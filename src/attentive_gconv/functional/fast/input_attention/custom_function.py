r"""Attention on a feature map as one operation with its own backward; the formulas are in `...attending.parts`.

    dα_X = attended·Σ_c α_C·x·g                  (then through ψ to dt)
    q = attended·α_X·g + dt_mean/C + dt_max·[c = c*]
    dx = skip·g + α_C·q,   dα_C = Σ_p x·q        (then through the gate to ds)
    dx += ds_mean/P + ds_max·[p = p*]

c*, p*: the first maximum. Samples meet only in the sums of the weights' gradients, so each one is done from
statistics to attended map, and back, while it is in cache. α_C·x is formed where it is needed and never kept; kept are
x, the statistics, the two maps, c* and p*.

Source of the operation: Romero et al., ICML 2020, §5.1, https://arxiv.org/abs/2002.03830. Doing it sample by sample is
ours.
"""

import importlib
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from attentive_gconv.functional.definition.attended_input import Parts, attend_definition
from attentive_gconv.functional.fast.dispatch import is_compiled_on_cpu, is_ordinary, is_recorded


def attend(x: Tensor, parts: Parts) -> Tensor:
    """A map with attention, channel first: compiled on CPUs with Numba, elsewhere the definition.

    Args:
        x: ``(B, C, |H|, Y, X)`` or, planar, ``(B, C, Y, X)``.
        parts: the attention.

    Returns:
        The shape of x.

    Example:
        Weights of zero give maps of one half:

        >>> from attentive_gconv.functional import SUPPRESS
        >>> from attentive_gconv.functional.fast.input_attention import ChannelGate
        >>> gate = ChannelGate(torch.zeros(1, 1), torch.zeros(1, 1), None, ("mean", "max"))
        >>> attend(torch.full((1, 1, 1, 1), 8.0), Parts(gate, None, SUPPRESS)).item()
        4.0
    """
    if not is_compiled(x, parts):
        return attend_definition(x, parts)
    tensors = (x, *parts.tensors())
    if not is_recorded(*tensors):
        out: Tensor = _samples().forward(x, parts)[0]
    else:
        out = _Attend.apply(*tensors, parts)
    return out


def is_compiled(x: Tensor, parts: Parts) -> bool:
    """Whether `attend` has compiled kernels for these tensors, here and now."""
    return is_compiled_on_cpu(x, *parts.tensors())


def _samples() -> Any:
    return importlib.import_module("attentive_gconv.functional.fast.input_attention.samples")


class _Attend(Function):
    """The kernels; what they cannot do, derivatives of derivatives and several gradients at once, by the definition."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, fc1: Tensor | None, fc2: Tensor | None, weight: Tensor | None, parts: Parts
    ) -> Tensor:
        out: Tensor
        out, *kept = _samples().forward(x, parts)
        ctx.parts = parts.with_tensors(None, None, None)
        ctx.save_for_backward(x, fc1, fc2, weight, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights, floats, whole = ctx.saved_tensors
        parts = ctx.parts.with_tensors(*weights)
        if torch.is_grad_enabled() or not is_ordinary(grad):
            return *_by_definition(ctx, grad, x, parts), None
        return *_samples().backward(grad, x, parts, floats, whole), None


def _by_definition(ctx: Any, grad: Tensor, x: Tensor, parts: Parts) -> list[Tensor | None]:
    """The gradients as functions that can be differentiated again, or mapped over many output gradients."""
    tensors = (x, *parts.tensors())
    with torch.enable_grad():
        out = attend_definition(x, parts)
    needed = ctx.needs_input_grad[: len(tensors)]
    wanted = [t for t, needs in zip(tensors, needed, strict=True) if t is not None and needs]
    found = iter(torch.autograd.grad(out, wanted, grad, create_graph=torch.is_grad_enabled(), retain_graph=True))
    return [next(found) if needs else None for needs in needed]
