"""Max pooling with windows of 2 x 2 in inference, as elementwise maxima of slices: of the rows, then of the columns.

    r = max(x[…, ::2, :], x[…, 1::2, :]),   y = max(r[…, ::2], r[…, 1::2])

On CPUs PyTorch's operator looks for the maximum and its place in one window after another; these are vector operations
on whole maps. In training, where the places are needed, they gain nothing.

Source: `torch.nn.functional.max_pool2d`, which is the definition. Deviations: none in values, NaN included; of a zero
and a negative zero either may be the maximum.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.fast import dispatch
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
    rows = torch.maximum(planes[..., ::2, :], planes[..., 1::2, :])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])
