r"""Lifting and group convolution.

    lifting   out[b,o,h] =   Σ_c      x[b,c]    ⋆ (L_h ψ)[o,c],       ψ [O, C, k, k]
    group     out[b,o,h] = q·Σ_{c,h'} x[b,c,h'] ⋆ (L_h ψ)[o,c,h'],    ψ [O, C, |H|, k, k]

q is the group's quadrature weight, ⋆ the cross-correlation of `conv2d`.

Source: Cohen & Welling, "Group Equivariant Convolutional Networks", ICML 2016, https://arxiv.org/abs/1602.07576; the
quadrature weight and the initial weights follow Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.functional import group_conv2d, kernel_transform
from attentive_gconv.functional.fast.irreps_conv import (
    FORMS,
    ConvOptions,
    group_conv2d_by_operator,
    irreps_conv2d,
    packed_weight,
    takes_irreps,
    takes_operator,
)
from attentive_gconv.functional.geometry import Pair, pair
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.nn.arguments import PADDING_MODES, checked, instance_of, one_of
from attentive_gconv.nn.checks import divides, explicit_padding
from attentive_gconv.nn.packed_weights import TransformedWeights, packs_for_inference, uniform_kernel_


class GroupConvolution(TransformedWeights):
    """Base class of lifting and group convolution; ``over_group`` says whether the input has a group axis."""

    over_group: ClassVar[bool]
    offers_forms: ClassVar[bool] = False  # whether `configure_convolution` applies
    weight: nn.Parameter
    bias: nn.Parameter | None

    @checked()
    def __init__(
        self,
        group: str | FiniteGroup,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        bias: bool = False,
        *,
        groups: int = 1,
        padding_mode: str = "zeros",
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
        self.dilation = pair(dilation)
        self.padding = explicit_padding(padding, self.kernel_size, self.dilation, self.stride)
        self.padding_mode = padding_mode
        self.groups = groups
        self.wscale = wscale
        divides("in_channels", in_channels, groups)
        divides("out_channels", out_channels, groups)
        transform = kernel_transform(self.group, self.kernel_size, over_group=self.over_group)
        shape = (out_channels, in_channels // groups, *transform.entries)
        self.add_transformed_weight("weight", torch.empty(shape, device=device, dtype=dtype), transform)
        self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.conv = "auto"
        self._runs_irreps = False  # whether the last call did, for repr
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: U(-s, s) with s = wscale / √(C·k²); the bias starts at zero."""
        uniform_kernel_(self.weight, self.weight.shape[1], self.kernel_size, self.wscale)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @property
    def scale(self) -> float:
        """The quadrature weight q of a sum over the group; 1 in a lifting layer, which has none."""
        return self.group.quadrature_weight if self.over_group else 1.0

    def kernel(self) -> Tensor:
        """Every transform of the kernel, times the quadrature weight: ``(O, |H|, C / groups, |H'|, k, k)``."""
        kernel = self.transformed("weight", self.scale)
        return kernel if self.over_group else kernel.unsqueeze(3)

    def _packed_kernel(self) -> Tensor:
        """The tensor of `kernel`; cached in inference."""
        inference = packs_for_inference()
        return self.packed(
            (self.weight,), self.scale, lambda: self.kernel().contiguous() if inference else self.kernel()
        )

    def check_input(self, x: Tensor) -> Tensor:
        """Check the input, add a group axis of one entry to a planar map, and pad unless with zeros.

        Raises:
            ValueError: if the shape is wrong, or the map smaller than the kernel.
        """
        self.check_shape(x)
        x = x if self.over_group else x.unsqueeze(2)
        return x if self.padding_mode == "zeros" else self._pad(x)

    def check_shape(self, x: Tensor) -> None:
        """Raise ValueError unless x has the shape of an input; how far a mode can pad is checked where it pads."""
        shape = x.shape
        poses = (self.group.order,) if self.over_group else ()
        if len(shape) != 4 + len(poses) or shape[1] != self.in_channels or shape[2:-2] != poses:
            wanted = ", ".join(map(str, ("B", self.in_channels, *poses, "Y", "X")))
            kind = "a map on the group" if self.over_group else "a planar map"
            raise ValueError(
                f"{type(self).__name__} on {self.group.name!r} takes {kind} ({wanted}), got shape {tuple(shape)}"
            )
        for side, pad, dilation in zip(shape[-2:], self.padding, self.dilation, strict=True):
            if side + 2 * pad < dilation * (self.kernel_size - 1) + 1:
                raise ValueError(
                    f"input {tuple(x.shape)} with padding (={self.padding}) is smaller than the kernel, kernel_size "
                    f"(={self.kernel_size}) with dilation (={self.dilation}); raise the padding or give larger maps"
                )

    def _pad(self, x: Tensor) -> Tensor:
        for side, pad in zip(x.shape[-2:], self.padding, strict=True):
            if pad > PADDING_MODES[self.padding_mode] + side:
                raise ValueError(
                    f"`padding` (={self.padding}) with padding_mode (={self.padding_mode!r}) needs larger maps than "
                    f"{tuple(x.shape[-2:])}; pad less, or with zeros"
                )
        rows, columns = self.padding
        planes = F.pad(x.flatten(1, 2), (columns, columns, rows, rows), self.padding_mode)
        padded: Tensor = planes.unflatten(1, x.shape[1:3])
        return padded

    @property
    def zero_padding(self) -> Pair:
        """The padding that the convolution itself adds: none in other modes than zeros."""
        return self.padding if self.padding_mode == "zeros" else (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; ``(B, O, |H|, Y', X')``."""
        return self._convolve_checked(self.check_input(x))

    def _convolve_checked(self, x: Tensor) -> Tensor:
        """Convolve what `check_input` returned."""
        weight, bias = self.weight, self.bias  # looked up once, modules look for parameters slowly
        options = ConvOptions(self.group, self.scale, self.stride, self.zero_padding, self.dilation)
        if self.over_group and self.groups == 1:
            if takes_irreps(self.conv, x, weight, bias, options):
                self._runs_irreps = True
                packed = self.packed((weight,), options, lambda: packed_weight(weight, options))
                return irreps_conv2d(x, weight, bias, options, packed)
            if takes_operator(self.conv, x, weight, bias, options):
                return group_conv2d_by_operator(x, weight, bias, options, self.conv)
        if self._runs_irreps:
            self._runs_irreps = False
        kernel = self._packed_kernel()
        return group_conv2d(x, kernel, bias, self.stride, self.zero_padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        parts = [f"{self.group.name!r}, {self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        for name, default in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            if (value := getattr(self, name)) != default:
                parts.append(f"{name}={value}")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode!r}")
        if self.bias is not None:
            parts.append("bias=True")
        if self.conv != "auto" or self._runs_irreps:
            parts.append(f"conv={self.conv!r}" + " (by irreps)" * (self._runs_irreps and self.conv == "auto"))
        return ", ".join(parts)


class LiftingConv2d(GroupConvolution):
    """Lifting convolution: from a planar map to a map on the group.

    Args:
        group: a name such as ``"p4"`` or a `FiniteGroup`.
        in_channels, out_channels: C and O.
        kernel_size: the side k, odd or even.
        stride, padding, dilation, groups: as in `torch.nn.Conv2d`; ``padding`` may be ``"same"`` or ``"valid"``.
        bias: whether there is a bias: one value for each output channel, shared over the group, starting at zero.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``, as in `torch.nn.Conv2d`. Every mode
            is exactly equivariant to the group; ``"circular"`` also to cyclic translations, which the border of the
            others breaks.
        wscale: the initial weights are U(-s, s), s = wscale / √(C·k²).
        device, dtype: of the parameters.

    Shape:
        ``(B, C, Y, X)`` -> ``(B, O, |H|, Y', X')``; the kernel ``weight`` is ``(O, C / groups, k, k)``.

    Raises:
        ValueError: on arguments or inputs of wrong type, size or shape; the message says which and what to do.

    Source:
        Cohen & Welling, ICML 2016, §6.1-6.2, https://arxiv.org/abs/1602.07576.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> layer = ag.nn.LiftingConv2d("p4", 3, 8, kernel_size=3, padding=1)
        >>> layer(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 8, 4, 32, 32])
    """

    over_group = False


class GroupConv2d(GroupConvolution):
    """Group convolution: from a map on the group to a map on the group.

    Args:
        group, in_channels, out_channels, kernel_size, stride, padding, dilation, bias, groups, padding_mode, wscale,
        device, dtype: as in `LiftingConv2d`.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, O, |H|, Y', X')``; the kernel ``weight`` is ``(O, C / groups, |H|, k, k)``.

    Raises:
        ValueError: on arguments or inputs of wrong type, size or shape; the message says which and what to do.

    Source:
        Cohen & Welling, ICML 2016, §6.2, https://arxiv.org/abs/1602.07576; times the quadrature weight of the group.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> layer = ag.nn.GroupConv2d("p4m", 8, 16, kernel_size=3, padding=1)
        >>> layer(torch.randn(2, 8, 8, 32, 32)).shape
        torch.Size([2, 16, 8, 32, 32])
    """

    over_group = True
    offers_forms = True


@checked(model=instance_of(nn.Module), conv=one_of(*FORMS))
def configure_convolution(model: nn.Module, *, conv: str) -> int:
    """Change how every group convolution of a model is computed; results stay the same up to rounding.

    Args:
        model: any module.
        conv: ``"auto"`` (whichever is estimated to be faster), ``"expanded"`` (`conv2d` with every transform of the
            kernel) or ``"irreps"`` (by irreducible representations of the group, with fewer multiplications; on CPUs
            with Numba, float32 and float64, one channel group; elsewhere expanded).

    Returns:
        The number of layers that were changed. Lifting layers are always expanded; layers with full attention have no
        separate convolution. Spatial attention counts, too: where it is not fused, its convolution takes the form.

    Raises:
        ValueError: on an unknown form.

    Example:
        >>> import attentive_gconv as ag
        >>> ag.nn.configure_convolution(ag.create_model("p4cnn"), conv="expanded")
        6
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GroupConvolution) and layer.offers_forms]
    for layer in layers:
        layer.conv = conv
    return len(layers)
