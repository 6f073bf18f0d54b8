r"""Lifting and group convolution by the definition: one `conv2d` with every transform of the kernel.

    out[b,o,h] = Σ_{c,h'} x[b,c,h'] ⋆ (L_h ψ)[o,c,h'],    ⋆ the cross-correlation of `conv2d`

The maps' channel and group axes are merged, (B, C, |H'|, Y, X) -> (B, C·|H'|, Y, X), and so are the kernel's. A lifting
convolution is the same with |H'| = 1. The quadrature weight q is a factor of the kernel, put there by the caller.

Source: Cohen & Welling, ICML 2016, §7, https://arxiv.org/abs/1602.07576.
"""

import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.geometry import Pair


def group_conv2d_definition(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """`attentive_gconv.functional.group_conv2d` by its definition; the arguments are the same.

    Example:
        >>> import torch
        >>> group_conv2d_definition(torch.ones(1, 1, 1, 3, 3), torch.ones(1, 1, 1, 1, 3, 3)).item()
        9.0
    """
    merged, filters, bias = merge_group_axis(x, kernel, bias)
    planes = F.conv2d(merged, filters, bias, stride, padding, dilation, groups)
    out: Tensor = planes.unflatten(1, kernel.shape[:2])
    return out


def merge_group_axis(x: Tensor, kernel: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Maps, kernel and bias as `conv2d` takes them, group axes merged with channels.

    Returns:
        ``(B, C·|H'|, Y, X)``, ``(O·|H|, C·|H'| / groups, k, k)`` and ``(O·|H|,)``.
    """
    repeated = None if bias is None else bias.repeat_interleave(kernel.shape[1])
    return x.flatten(1, 2), kernel.flatten(2, 3).flatten(0, 1), repeated
