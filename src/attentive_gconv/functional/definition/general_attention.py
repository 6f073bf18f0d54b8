r"""The attentive group convolution in full generality: any map α(g, g~), as an array.

    out[b,o,h,p] = q·Σ_{c,h',t} α[b,o,h,c,h',t,p] · x[b,c,h',p+t] · (L_h ψ)[o,c,h',t]

The output is at g = (p, h), and tap t of the kernel reads the input at g~ = (p + t, h'). Every attention of the
library is an α of this form, see docs/explanation/theory.md. If α is constant over t, it leaves the sum over the taps
and weights the responses f~ (`attentive_conv2d_definition`); if it depends on g~ alone, it weights the input
(`attentive_gconv.nn.Attend` in front of a group convolution).

Source: Romero, Bekkers, Tomczak, Hoogendoorn, ICML 2020, §4.1, https://arxiv.org/abs/2002.03830. This form holds
``B·O·|H|·C·|H'|·k²·Y'·X'`` numbers: it is for small maps, to define and to check.
"""

import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.geometry import Pair, output_size, pair


def patches(
    x: Tensor, kernel_size: int, stride: int | Pair = 1, padding: int | Pair = 0, dilation: int | Pair = 1
) -> Tensor:
    """Patches of a map: the input of each tap of a kernel at each output position.

    Args:
        x: ``(B, C, |H'|, Y, X)``: a feature map, or an attention map α(g~) on it.
        kernel_size: the side k.
        stride, padding, dilation: as in `torch.nn.functional.conv2d`; outside the map there are zeros.

    Returns:
        ``(B, C, |H'|, k, k, Y', X')``.

    Example:
        >>> import torch
        >>> patches(torch.randn(1, 2, 4, 5, 5), 3).shape
        torch.Size([1, 2, 4, 3, 3, 3, 3])
    """
    sides = pair(stride), pair(padding), pair(dilation)
    columns = F.unfold(x.flatten(1, 2), kernel_size, dilation=sides[2], padding=sides[1], stride=sides[0])
    out = output_size((x.shape[-2], x.shape[-1]), (kernel_size, kernel_size), *sides)
    return columns.view(*x.shape[:3], kernel_size, kernel_size, *out)


def attentive_conv2d_general(
    x: Tensor,
    kernel: Tensor,
    alpha: Tensor,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    scale: float = 1.0,
) -> Tensor:
    """Attentive group convolution with any map α(g, g~).

    Args:
        x: ``(B, C, |H'|, Y, X)``; |H'| is 1 for a planar map that is lifted.
        kernel: transformed, ``(O, |H|, C, |H'|, k, k)``.
        alpha: attention map, the factor that is kept of each product; broadcastable to
            ``(B, O, |H|, C, |H'|, k, k, Y', X')``.
        stride, padding, dilation: of the convolution.
        scale: the quadrature weight q.

    Returns:
        ``(B, O, |H|, Y', X')``.

    Example:
        An α(g~) on the input, gathered at the positions that the taps see:

        >>> import torch
        >>> x, kernel = torch.randn(1, 2, 4, 5, 5), torch.randn(3, 4, 2, 4, 3, 3)
        >>> alpha = patches(torch.rand(1, 2, 4, 5, 5), 3)[:, None, None]
        >>> attentive_conv2d_general(x, kernel, alpha).shape
        torch.Size([1, 3, 4, 3, 3])
    """
    seen = patches(x, kernel.shape[-1], stride, padding, dilation)[:, None, None]
    return scale * (alpha * seen * kernel[..., None, None]).sum((3, 4, 5, 6))
