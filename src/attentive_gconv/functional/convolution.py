r"""Group convolution with a transformed kernel: one `conv2d`.

    out[b,o,h] = Σ_{c,h'} x[b,c,h'] ⋆ (L_h ψ)[o,c,h'],    ⋆ the cross-correlation of `conv2d`

The maps' channel and group axes are merged, (B, C, |H'|, Y, X) -> (B, C·|H'|, Y, X), and so are the kernel's. A lifting
convolution is the same with |H'| = 1. The quadrature weight q is a factor of the kernel, put there by the caller.

Source: Cohen & Welling, ICML 2016, §7, https://arxiv.org/abs/1602.07576.
"""

from torch import Tensor

from attentive_gconv.functional.few_channels import Pair, conv2d


def group_conv2d(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Correlate maps with every transform of a kernel.

    Args:
        x: ``(B, C, |H'|, Y, X)``; |H'| is 1 for a planar map that is lifted.
        kernel: the transformed kernel ``(O, |H|, C / groups, |H'|, k, k)`` of `transform_kernel`.
        bias: ``(O,)``, shared over the group.
        stride, padding, dilation, groups: as in `torch.nn.functional.conv2d`.

    Returns:
        ``(B, O, |H|, Y', X')``.

    Example:
        >>> import torch
        >>> group_conv2d(torch.randn(1, 2, 1, 5, 5), torch.randn(3, 4, 2, 1, 3, 3)).shape
        torch.Size([1, 3, 4, 3, 3])
    """
    out_channels, order = kernel.shape[:2]
    if bias is not None:
        bias = bias.repeat_interleave(order)
    step, border, spread = (v if isinstance(v, tuple) else (v, v) for v in (stride, padding, dilation))
    planes = conv2d(x.flatten(1, 2), kernel.flatten(2, 3).flatten(0, 1), bias, step, border, spread, groups)
    return planes.unflatten(1, (out_channels, order))
