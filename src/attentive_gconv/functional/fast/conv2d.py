r"""`conv2d` of few channels, with a gradient of its input that the CPU computes quickly.

The gradient of the input is itself a correlation, of the output's gradient with the flipped kernel, the roles of its
channels exchanged; or columns Wᵀg, added up where they overlap. The library's own kernel for it takes several times as
long as either when there are few input channels, as in spatial attention (two statistics) and in layers on images.

    dx = g ⋆ flip(W)ᵀ, padding d(k - 1) - p        up to 16 input and output channels
    dx = fold(Wᵀg)                                 up to 32 entries of the kernel for each output channel
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_input, conv2d_weight

from attentive_gconv.functional.fast.dispatch import is_recorded, runs_eagerly
from attentive_gconv.functional.geometry import Pair

# how much is gained: benchmarks/few_channels.py, figures in docs/performance.md
MAX_CHANNELS = 16
MAX_COLUMNS = 32


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Tensor:
    """`torch.nn.functional.conv2d`, in the form that is quickest in training.

    Args:
        x: ``(B, C, Y, X)``.
        weight: ``(O, C / groups, k, k)``.
        bias: ``(O,)`` or None.
        stride, padding, dilation, groups: as in `torch.nn.functional.conv2d`.

    Example:
        >>> conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3), None, (1, 1), (0, 0), (1, 1), 1).item()
        9.0
    """
    if groups == 1 and stride == (1, 1) and runs_eagerly(x, weight, bias) and _gains(x, weight, padding, dilation):
        out: Tensor = _FewChannels.apply(x, weight, bias, padding, dilation)
        return out
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def input_gradient(grad: Tensor, size: torch.Size, weight: Tensor, padding: Pair, dilation: Pair) -> Tensor:
    """The gradient of the input of a convolution of stride 1.

    Args:
        grad: of the output, ``(B, O, Y', X')``.
        size: the input's.
        weight, padding, dilation: of the convolution.

    Example:
        >>> weight, ones = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 1, 1)
        >>> input_gradient(ones, torch.Size((1, 1, 3, 3)), weight, (0, 0), (1, 1)).sum().item()
        9.0
    """
    if _as_correlation(weight, padding, dilation):
        back = _opposite(weight, padding, dilation)
        return F.conv2d(grad, weight.transpose(0, 1).flip((-2, -1)), None, 1, back, dilation)
    if weight[0].numel() <= MAX_COLUMNS:
        # not matmul, which would copy the gradient's batch into its rows
        columns = torch.bmm(weight.flatten(1).t().expand(len(grad), -1, -1), grad.flatten(2))
        return F.fold(columns, size[-2:], weight.shape[-2:], dilation, padding)
    return library_input_gradient(grad, size, weight, padding, dilation)


def library_input_gradient(grad: Tensor, size: torch.Size, weight: Tensor, padding: Pair, dilation: Pair) -> Tensor:
    """The same by the library's own kernel, which batched gradients also go through."""
    return conv2d_input(size, weight, grad, 1, padding, dilation)


def _as_correlation(weight: Tensor, padding: Pair, dilation: Pair) -> bool:
    return max(weight.shape[:2]) <= MAX_CHANNELS and min(_opposite(weight, padding, dilation)) >= 0


def _gains(x: Tensor, weight: Tensor, padding: Pair, dilation: Pair) -> bool:
    """Whether the input's gradient is wanted, and one of the two forms is the faster one."""
    if not is_recorded(x) or x.device.type != "cpu":
        return False
    if x.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu"):
        return False
    return weight[0].numel() <= MAX_COLUMNS or _as_correlation(weight, padding, dilation)


def _opposite(weight: Tensor, padding: Pair, dilation: Pair) -> Pair:
    """The padding with which the flipped kernel goes back from the output to the input."""
    y, x = (d * (k - 1) - p for k, p, d in zip(weight.shape[2:], padding, dilation, strict=True))
    return y, x


class _FewChannels(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: Pair, dilation: Pair) -> Tensor:
        ctx.padding, ctx.dilation = padding, dilation
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, 1, padding, dilation)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        padding, dilation = ctx.padding, ctx.dilation
        dx = dweight = dbias = None
        if ctx.needs_input_grad[0]:
            found = input_gradient if runs_eagerly(grad) else library_input_gradient
            dx = found(grad, x.shape, weight, padding, dilation)
        if ctx.needs_input_grad[1]:
            dweight = conv2d_weight(x, weight.shape, grad, 1, padding, dilation)
        if ctx.needs_input_grad[2]:
            dbias = grad.sum((0, 2, 3))
        return dx, dweight, dbias, None, None
