r"""`conv2d` with a faster input gradient for few channels, on the CPU.

The gradient of the input is itself a correlation: of the output's gradient with the flipped kernel, its channel axes
exchanged. It is also the sum of overlapping columns Wᵀg. PyTorch's kernel for it takes several times as long as either
when there are few input channels, as in spatial attention (two statistics) and in layers on images.

    dx = g ⋆ flip(W)ᵀ, padding d(k - 1) - p        up to 16 input and output channels
    dx = fold(Wᵀg)                                 up to 32 entries of the kernel for each output channel
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_input, conv2d_weight

from attentive_gconv.functional.definition.group_convolution import merge_group_axis
from attentive_gconv.functional.fast.dispatch import is_ordinary, is_recorded, without_autocast
from attentive_gconv.functional.geometry import Pair, pair

# limits measured by benchmarks/few_channels.py; figures in docs/performance.md
MAX_CHANNELS = 16
MAX_COLUMNS = 32


def group_conv2d_fast(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """`attentive_gconv.functional.group_conv2d` with the input gradient of `conv2d`; the arguments are the same.

    Example:
        >>> group_conv2d_fast(torch.ones(1, 1, 1, 3, 3), torch.ones(1, 1, 1, 1, 3, 3)).item()
        9.0
    """
    merged, filters, bias = merge_group_axis(x, kernel, bias)
    out = conv2d(merged, filters, bias, pair(stride), pair(padding), pair(dilation), groups)
    return out.unflatten(1, kernel.shape[:2])


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Tensor:
    """`torch.nn.functional.conv2d`, with a faster gradient of its input where there are few channels.

    Args:
        x: ``(B, C, Y, X)``.
        weight: ``(O, C / groups, k, k)``.
        bias: ``(O,)`` or None.
        stride, padding, dilation, groups: as in `torch.nn.functional.conv2d`.

    Example:
        >>> conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3), None, (1, 1), (0, 0), (1, 1), 1).item()
        9.0
    """
    if groups == 1 and stride == (1, 1) and is_recorded(x) and _gains(weight, padding, dilation):
        out: Tensor = _FewChannels.apply(x, weight, bias, padding, dilation)
        return out
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def input_gradient(grad: Tensor, size: torch.Size, weight: Tensor, padding: Pair, dilation: Pair) -> Tensor:
    """The gradient of the input of a convolution of stride 1.

    Args:
        grad: gradient of the output, ``(B, O, Y', X')``.
        size: shape of the input.
        weight, padding, dilation: of the convolution.

    Returns:
        The gradient of the input, of shape ``size``.

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
    """The gradient of `input_gradient` by PyTorch's own kernel, which supports batched gradients."""
    return conv2d_input(size, weight, grad, 1, padding, dilation)


def _as_correlation(weight: Tensor, padding: Pair, dilation: Pair) -> bool:
    return max(weight.shape[:2]) <= MAX_CHANNELS and min(_opposite(weight, padding, dilation)) >= 0


def _gains(weight: Tensor, padding: Pair, dilation: Pair) -> bool:
    """Whether one of the two forms of the input gradient is faster than PyTorch's."""
    return weight[0].numel() <= MAX_COLUMNS or _as_correlation(weight, padding, dilation)


def _opposite(weight: Tensor, padding: Pair, dilation: Pair) -> Pair:
    """The padding of the correlation that maps the output's gradient to the input's."""
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
        # backward may be called inside an autocast region that forward was not in
        with without_autocast(x):
            if ctx.needs_input_grad[0]:
                gradient = input_gradient if is_ordinary(grad) else library_input_gradient
                dx = gradient(grad, x.shape, weight, padding, dilation)
            if ctx.needs_input_grad[1]:
                dweight = conv2d_weight(x, weight.shape, grad, 1, padding, dilation)
        if ctx.needs_input_grad[2]:
            dbias = grad.sum((0, 2, 3))
        return dx, dweight, dbias, None, None
