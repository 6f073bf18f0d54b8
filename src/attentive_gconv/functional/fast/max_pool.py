r"""Max pooling with windows of 2 x 2, as elementwise maxima of slices: first of the columns, then of the rows.

    c = max(x[…, ::2], x[…, 1::2]),   y = max(c[…, ::2, :], c[…, 1::2, :])

On CPUs PyTorch's operator looks for the maximum and its place in one window after another. These are vector operations
on whole maps; places are found in backward. Gradients go to the first maximum of a window, row by row, as there.

Source: `torch.nn.functional.max_pool2d`, which is the definition. Deviations: none in values, NaN included; of a zero
and a negative zero either may be the maximum.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.fast.by_definition import gradients_by_definition
from attentive_gconv.functional.geometry import Pair

WINDOW = (2, 2)


def max_pool2d(planes: Tensor, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool) -> Tensor:
    """`torch.nn.functional.max_pool2d`.

    Args:
        planes: ``(B, C, Y, X)``.
        kernel_size, stride, padding, ceil_mode: as there.

    Example:
        >>> max_pool2d(torch.arange(8.0).view(1, 1, 2, 4), (2, 2), (2, 2), (0, 0), False)
        tensor([[[[5., 7.]]]])
    """
    # sizes are looked at last: compilers would record the question
    cheap = kernel_size == stride == WINDOW and padding == (0, 0) and dispatch.takes_maxima_of_slices(planes)
    if not cheap or any(side % 2 or not side for side in planes.shape[-2:]):
        return F.max_pool2d(planes, kernel_size, stride, padding, ceil_mode=ceil_mode)
    if not dispatch.is_recorded(planes):
        return _maxima(planes)[1]
    pooled: Tensor = _MaxPool.apply(planes)
    return pooled


def _maxima(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima of pairs of columns, ``(..., Y, X/2)``, and of windows."""
    columns = torch.maximum(x[..., ::2], x[..., 1::2])
    return columns, torch.maximum(columns[..., ::2, :], columns[..., 1::2, :])


class _MaxPool(Function):
    """Gradients of gradients and batched gradients are computed by the definition."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        columns, pooled = _maxima(x)
        ctx.save_for_backward(x, columns)
        return pooled

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor | None:
        x, columns = ctx.saved_tensors
        if torch.is_grad_enabled() or not dispatch.is_ordinary(grad):
            return gradients_by_definition(lambda x: F.max_pool2d(x, WINDOW), (x,), (True,), grad)[0]
        of_columns, of_x = torch.empty_like(columns), torch.empty_like(x)
        _route(grad, columns[..., ::2, :], columns[..., 1::2, :], of_columns[..., ::2, :], of_columns[..., 1::2, :])
        _route(of_columns, x[..., ::2], x[..., 1::2], of_x[..., ::2], of_x[..., 1::2])
        return of_x


def _route(grad: Tensor, first: Tensor, second: Tensor, of_first: Tensor, of_second: Tensor) -> None:
    """Write the gradient of a maximum to the larger operand: the first if they tie, the second if it is NaN."""
    is_second = (second > first).logical_or_(second.isnan())
    torch.mul(grad, is_second, out=of_second)
    torch.mul(grad, is_second.logical_not_(), out=of_first)
