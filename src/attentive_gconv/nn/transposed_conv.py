r"""Transposed group convolution, for decoders: a map on the group to a larger one.

    out[b,o,h] = q·Σ_{c,h'} x[b,c,h'] ⋆ᵀ (L_h ψ)[o,c,h'],    ψ [O, C, |H|, k, k]

⋆ᵀ is `conv_transpose2d`: every value of x adds its multiple of the kernel to the output. K(h, h') = (L_h ψ)(h') obeys
K(gh, gh') = L_g K(h, h'), so that the layer commutes with L_g as a group convolution does. A side of n pixels becomes

    (n - 1)·stride - 2·padding + dilation·(k - 1) + 1

pixels, centred for every n. There is no ``output_padding``: it would add a row at one border and break equivariance.

Source: Zeiler et al., "Deconvolutional networks", CVPR 2010, in the group form of Cohen & Welling, ICML 2016, §6.2,
https://arxiv.org/abs/1602.07576.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.functional import kernel_transform
from attentive_gconv.functional.geometry import Pair, pair
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.nn.arguments import checked
from attentive_gconv.nn.checks import padding_pair
from attentive_gconv.nn.packed_weights import TransformedWeights, uniform_kernel_


class GroupConvTranspose2d(TransformedWeights):
    """Transposed group convolution: from a map on the group to a larger one.

    Kernel 2 and stride 2 double the sides without overlap; kernel 4, stride 2 and padding 1 double them with overlap.

    Args:
        group, in_channels, out_channels, dilation, bias, device, dtype: as in `GroupConv2d`.
        kernel_size, stride, padding: as in `torch.nn.ConvTranspose2d`.
        wscale: the initial weights are U(-s, s), s = wscale / √(C·k² / stride²), where k² / stride² is the number of
            kernel entries that contribute to an output pixel.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, O, |H|, Y', X')``; the kernel ``weight`` is ``(O, C, |H|, k, k)``.

    Raises:
        ValueError: on arguments or inputs of wrong type, size or shape; the message says which and what to do.

    Source:
        Cohen & Welling, ICML 2016, §6.2, https://arxiv.org/abs/1602.07576; times the quadrature weight of the group.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> layer = ag.nn.GroupConvTranspose2d("p4m", 8, 4, kernel_size=2, stride=2)
        >>> layer(torch.randn(2, 8, 8, 12, 12)).shape
        torch.Size([2, 4, 8, 24, 24])
    """

    bias: nn.Parameter | None
    weight: nn.Parameter

    @checked(padding=padding_pair)
    def __init__(
        self,
        group: str | FiniteGroup,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        bias: bool = False,
        *,
        wscale: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.group = find_group(group)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size, _ = pair(kernel_size)
        self.stride = pair(stride)
        self.padding = pair(padding)
        self.dilation = pair(dilation)
        self.wscale = wscale
        transform = kernel_transform(self.group, self.kernel_size, over_group=True)
        weight = torch.empty((out_channels, in_channels, *transform.entries), device=device, dtype=dtype)
        self.add_transformed_weight("weight", weight, transform)
        self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights; the bias starts at zero."""
        scale = self.wscale * math.sqrt(math.prod(self.stride))
        uniform_kernel_(self.weight, self.in_channels, self.kernel_size, scale)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def _filters(self) -> Tensor:
        """The kernels of `conv_transpose2d`: ``(C·|H|, O·|H|, k, k)``."""
        kernel = self.transformed("weight", self.group.quadrature_weight)
        return kernel.permute(2, 3, 0, 1, 4, 5).flatten(2, 3).flatten(0, 1).contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; ``(B, O, |H|, Y', X')``."""
        order = self.group.order
        if x.dim() != 5 or tuple(x.shape[1:3]) != (self.in_channels, order):
            raise ValueError(
                f"GroupConvTranspose2d on {self.group.name!r} takes a map on the group (B, {self.in_channels}, "
                f"{order}, Y, X), got shape {tuple(x.shape)}"
            )
        for side, stride, pad, dilation in zip(x.shape[-2:], self.stride, self.padding, self.dilation, strict=True):
            if (side - 1) * stride - 2 * pad + dilation * (self.kernel_size - 1) + 1 < 1:
                raise ValueError(
                    f"nothing is left of the input {tuple(x.shape)} with padding (={self.padding}): lower the padding"
                )
        filters = self.packed((self.weight,), self.group, self._filters)
        bias = None if self.bias is None else self.bias.repeat_interleave(order)
        out: Tensor = F.conv_transpose2d(x.flatten(1, 2), filters, bias, self.stride, self.padding, 0, 1, self.dilation)
        maps: Tensor = out.unflatten(1, (self.out_channels, order))
        return maps

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        sizes = f"{self.group.name!r}, {self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        bias = ", bias=True" if self.bias is not None else ""
        return f"{sizes}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}{bias}"
