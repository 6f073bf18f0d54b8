"""Group convolution by irreducible representations: fewer multiplications than `conv2d`, exactly the same result.

The mathematics is in `attentive_gconv.functional.irreps`. The kernels are compiled, for CPUs, and need Numba; this
package imports without it.
"""

from torch import Tensor

from attentive_gconv.functional.fast.irreps_conv.form_rule import FORMS, ConvOptions, takes_irreps, takes_operator
from attentive_gconv.functional.fast.irreps_conv.irreps_operator import group_conv2d_by_operator, operation

__all__ = [
    "FORMS",
    "ConvOptions",
    "group_conv2d_by_operator",
    "irreps_conv2d",
    "packed_weight",
    "takes_irreps",
    "takes_operator",
]


def packed_weight(weight: Tensor, options: ConvOptions) -> Tensor:
    """Pack a kernel for `irreps_conv2d`, in the order in which the compiled products read it; without a gradient.

    Args:
        weight: ``(O, C, |H|, k, k)``.
        options: of which group and factor are used.

    Returns:
        The packed weights, one-dimensional.
    """
    packed: Tensor = operation().packed_weight(weight, options)
    return packed


def irreps_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, options: ConvOptions, packed: Tensor | None = None
) -> Tensor:
    """The group convolution ``x ⋆ scale·weight`` by irreducible representations; `takes_irreps` tells where it can run.

    Args:
        x: ``(B, C, |H|, Y, X)``, float32 or float64, on the CPU.
        weight: the learned kernel ``(O, C, |H|, k, k)``, not its transforms.
        bias: ``(O,)``, shared over the group.
        options: group, factor, stride, padding, dilation.
        packed: the result of `packed_weight`; None to compute it.

    Returns:
        ``(B, O, |H|, Y', X')``.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> from attentive_gconv.functional import group_conv2d, kernel_index, transform_kernel
        >>> p4 = ag.group("p4")
        >>> x, weight = torch.randn(1, 2, 4, 5, 5).double(), torch.randn(3, 2, 4, 3, 3).double()
        >>> out = irreps_conv2d(x, weight, None, ConvOptions(p4, 1.0, (1, 1), (1, 1), (1, 1)))
        >>> expanded = transform_kernel(weight, kernel_index(p4, 3, over_group=True))
        >>> torch.allclose(out, group_conv2d(x, expanded, padding=1))
        True
    """
    out: Tensor = operation().convolve(x, weight, bias, options, packed)
    return out
