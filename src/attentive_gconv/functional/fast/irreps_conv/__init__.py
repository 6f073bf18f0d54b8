"""Group convolution by irreducible representations: fewer multiplications than `conv2d`, exactly the same result.

The mathematics is in `attentive_gconv.functional.irreps`. The kernels are compiled, for CPUs, and need Numba; this
package imports without it.
"""

import importlib
from typing import Any

from torch import Tensor

from attentive_gconv.functional.fast.irreps_conv.form_rule import FORMS, Geometry, takes_irreps

__all__ = ["FORMS", "Geometry", "irreps_conv2d", "packed_weight", "takes_irreps"]


def _operation() -> Any:
    return importlib.import_module("attentive_gconv.functional.fast.irreps_conv.irreps_operation")


def packed_weight(weight: Tensor, geometry: Geometry) -> Tensor:
    """A kernel in the order that the compiled products read, for `irreps_conv2d`: without a gradient, to be kept.

    Args:
        weight: ``(O, C, |H|, k, k)``.
        geometry: group and factor.

    Returns:
        The packed weights, one-dimensional.
    """
    packed: Tensor = _operation().packed_weight(weight, geometry)
    return packed


def irreps_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, packed: Tensor | None = None
) -> Tensor:
    """The group convolution ``x ⋆ scale·weight`` where `takes_irreps` says that it can be computed so.

    Args:
        x: ``(B, C, |H|, Y, X)``, float32 or float64, on the CPU.
        weight: the learned kernel ``(O, C, |H|, k, k)``, not its transforms.
        bias: ``(O,)``, shared over the group.
        geometry: group, factor, stride, padding, dilation.
        packed: the weight as `packed_weight` gives it; None to make it here.

    Returns:
        ``(B, O, |H|, Y', X')``.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> from attentive_gconv.functional import group_conv2d, kernel_index, transform_kernel
        >>> p4 = ag.group("p4")
        >>> x, weight = torch.randn(1, 2, 4, 5, 5).double(), torch.randn(3, 2, 4, 3, 3).double()
        >>> out = irreps_conv2d(x, weight, None, Geometry(p4, 1.0, (1, 1), (1, 1), (1, 1)))
        >>> expanded = transform_kernel(weight, kernel_index(p4, 3, over_group=True))
        >>> torch.allclose(out, group_conv2d(x, expanded, padding=1))
        True
    """
    out: Tensor = _operation().convolve(x, weight, bias, geometry, packed)
    return out
