r"""Pooling over space, which keeps the group axis, and over the group, which removes it.

Spatial pooling acts on every (channel, pose) plane alike, so it commutes with L_h wherever its windows tile the map
symmetrically. Max and average pooling alias: details finer than the new grid survive where they happen to fall on it,
so that a small shift or rotation changes the output by more than it should. Blur pooling removes them first,

    out = (b ⋆ x)[::stride],   b the binomial filter, [1, 2, 1] / 4 on each axis for three taps

and a maximum is blurred as max pooling with stride 1, then a blur pool: `blurred_max_pool`.

A pool over the group axis gives a planar map that moves with the input and no longer depends on pose.
Sources: Cohen & Welling, ICML 2016, §6.3, https://arxiv.org/abs/1602.07576; Zhang, "Making Convolutional Networks
Shift-Invariant Again", ICML 2019, https://arxiv.org/abs/1904.11486 (blur pooling; it pads by reflection, we replicate).
"""

from math import comb

import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.functional.fast.max_pool import max_pool2d
from attentive_gconv.functional.geometry import Pair, pair
from attentive_gconv.nn import checks
from attentive_gconv.nn.arguments import checked


class Planewise(nn.Module):
    """Base class of layers that apply one operation to every (channel, pose) plane."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operation; maps on the group keep their group axis."""
        out: Tensor = self._of_planes(self._planes(x)).unflatten(1, x.shape[1:-2])
        return out

    def _planes(self, x: Tensor) -> Tensor:
        if x.dim() not in (4, 5):
            raise ValueError(
                f"{type(self).__name__} takes (B, C, |H|, Y, X) or (B, C, Y, X), got shape {tuple(x.shape)}"
            )
        return x.flatten(1, -3)

    def _of_planes(self, planes: Tensor) -> Tensor:
        raise NotImplementedError


class _SpatialPool2d(Planewise):
    @checked(kernel_size=checks.pair, padding=checks.padding_pair)
    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = pair(kernel_size)
        self.stride = pair(kernel_size if stride is None else stride)
        self.padding = pair(padding)
        self.ceil_mode = ceil_mode
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(f"`padding` (={padding}) must be at most half the kernel_size (={kernel_size})")

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        ceil = ", ceil_mode=True" if self.ceil_mode else ""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}{ceil}"

    def _planes(self, x: Tensor) -> Tensor:
        planes = super()._planes(x)
        reach = [side + 2 * pad for side, pad in zip(x.shape[-2:], self.padding, strict=True)]
        if not self.ceil_mode and any(r < k for r, k in zip(reach, self.kernel_size, strict=True)):
            raise ValueError(
                f"input {tuple(x.shape)} with padding (={self.padding}) is smaller than the window, kernel_size "
                f"(={self.kernel_size}); pool with a smaller one or give larger maps"
            )
        return planes


class SpatialMaxPool2d(_SpatialPool2d):
    """Max pooling over space.

    Args:
        kernel_size, stride, padding, ceil_mode: as in `torch.nn.MaxPool2d`; the stride defaults to the kernel size.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, C, |H|, Y', X')``; planar maps ``(B, C, Y, X)`` likewise.

    Raises:
        ValueError: on other shapes, or arguments out of range.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.SpatialMaxPool2d(2)(torch.randn(2, 8, 4, 24, 24)).shape
        torch.Size([2, 8, 4, 12, 12])
    """

    def _of_planes(self, planes: Tensor) -> Tensor:
        return max_pool2d(planes, self.kernel_size, self.stride, self.padding, self.ceil_mode)


class SpatialAvgPool2d(_SpatialPool2d):
    """Average pooling over space.

    Args:
        kernel_size, stride, padding, ceil_mode: as in `torch.nn.AvgPool2d`; the stride defaults to the kernel size.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, C, |H|, Y', X')``; planar maps ``(B, C, Y, X)`` likewise.

    Raises:
        ValueError: on other shapes, or arguments out of range.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.SpatialAvgPool2d(2)(torch.ones(1, 1, 4, 2, 2)).flatten()
        tensor([1., 1., 1., 1.])
    """

    def _of_planes(self, planes: Tensor) -> Tensor:
        return F.avg_pool2d(planes, self.kernel_size, self.stride, self.padding, ceil_mode=self.ceil_mode)


class SpatialBlurPool2d(_SpatialPool2d):
    """Blur pooling over space: a binomial filter, then subsampling (anti-aliased).

    Args:
        kernel_size: taps of the filter on each axis; 3 is [1, 2, 1] / 4.
        stride: of the subsampling.
        padding: at each side, by replicating the border.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, C, |H|, Y', X')``; planar maps ``(B, C, Y, X)`` likewise.

    Raises:
        ValueError: on other shapes, or arguments out of range.

    Source:
        Zhang, ICML 2019, https://arxiv.org/abs/1904.11486.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.SpatialBlurPool2d(3, padding=1)(torch.randn(2, 8, 4, 23, 23)).shape
        torch.Size([2, 8, 4, 12, 12])
        >>> ag.nn.SpatialBlurPool2d(3)(torch.tensor([[[[0.0, 4.0, 0.0]] * 3]])).item()
        2.0
    """

    @checked(kernel_size=checks.pair, padding=checks.padding_pair)
    def __init__(self, kernel_size: int | Pair = 3, stride: int | Pair = 2, padding: int | Pair = 0) -> None:
        super().__init__(kernel_size, stride, padding)

    def _of_planes(self, planes: Tensor) -> Tensor:
        rows, columns = self.padding
        planes = F.pad(planes, (columns, columns, rows, rows), "replicate")
        for axis in (-1, -2):
            taps, stride = self.kernel_size[axis], self.stride[axis]
            length = (planes.shape[axis] - taps) // stride + 1
            weights = [comb(taps - 1, tap) / 2 ** (taps - 1) for tap in range(taps)]
            planes = _strided_sum(planes.movedim(axis, -1), stride, length, weights).movedim(-1, axis)
        return planes


def _strided_sum(rows: Tensor, stride: int, length: int, weights: list[float]) -> Tensor:
    """Correlate the last axis with weights, at every ``stride``-th position.

    Strided slices are faster than a depthwise convolution, which has one channel for each of hundreds of planes.
    """
    total = rows.new_zeros(())
    for tap, weight in enumerate(weights):
        total = total + weight * rows[..., tap : tap + stride * (length - 1) + 1 : stride]
    return total


def blurred_max_pool() -> nn.Sequential:
    """Anti-aliased 2 x 2 max pooling, for maps of even sides: max pooling with stride 1, then a blur pool of stride 2.

    Example:
        >>> import torch
        >>> blurred_max_pool()(torch.randn(2, 8, 4, 24, 24)).shape
        torch.Size([2, 8, 4, 12, 12])
    """
    return nn.Sequential(SpatialMaxPool2d(2, stride=1), SpatialBlurPool2d(3, stride=2, padding=1))


def _require_group_axis(module: nn.Module, x: Tensor) -> None:
    if x.dim() != 5:
        raise ValueError(f"{type(module).__name__} takes maps on the group (B, C, |H|, Y, X), got {tuple(x.shape)}")


class GroupMaxPool(nn.Module):
    """Maximum over the group axis: ``(B, C, |H|, Y, X)`` -> ``(B, C, Y, X)``.

    Tied poses share the gradient.

    Raises:
        ValueError: if the input is no map on the group.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.GroupMaxPool()(torch.arange(4.0).view(1, 1, 4, 1, 1)).item()
        3.0
    """

    def forward(self, x: Tensor) -> Tensor:
        """Reduce the group axis."""
        _require_group_axis(self, x)
        return x.amax(2)


class GroupMeanPool(nn.Module):
    """Mean over the group axis: ``(B, C, |H|, Y, X)`` -> ``(B, C, Y, X)``.

    Raises:
        ValueError: if the input is no map on the group.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.GroupMeanPool()(torch.arange(4.0).view(1, 1, 4, 1, 1)).item()
        1.5
    """

    def forward(self, x: Tensor) -> Tensor:
        """Reduce the group axis."""
        _require_group_axis(self, x)
        return x.mean(2)


class _AdaptivePool2d(Planewise):
    @checked(output_size=checks.pair)
    def __init__(self, output_size: int | Pair) -> None:
        super().__init__()
        self.output_size = pair(output_size)

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        return f"output_size={self.output_size}"


class SpatialAdaptiveAvgPool2d(_AdaptivePool2d):
    """Average pooling over space to a size.

    Window i of m spans the pixels from ⌊i·n/m⌋ to ⌈(i+1)·n/m⌉: symmetric about the centre for every n and m.

    Args:
        output_size: the sides of the output, one integer or (Y, X). Groups that rotate by 90° need equal ones.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, C, |H|, *output_size)``; planar maps ``(B, C, Y, X)`` likewise.

    Raises:
        ValueError: on other shapes, or arguments out of range.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.SpatialAdaptiveAvgPool2d(3)(torch.randn(2, 8, 4, 10, 10)).shape
        torch.Size([2, 8, 4, 3, 3])
    """

    def _of_planes(self, planes: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(planes, self.output_size)


class SpatialAdaptiveMaxPool2d(_AdaptivePool2d):
    """Max pooling over space to a size, with the windows of `SpatialAdaptiveAvgPool2d`.

    Args:
        output_size: the sides of the output, one integer or (Y, X). Groups that rotate by 90° need equal ones.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, C, |H|, *output_size)``; planar maps ``(B, C, Y, X)`` likewise.

    Raises:
        ValueError: on other shapes, or arguments out of range.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.SpatialAdaptiveMaxPool2d(3)(torch.randn(2, 8, 4, 10, 10)).shape
        torch.Size([2, 8, 4, 3, 3])
    """

    def _of_planes(self, planes: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(planes, self.output_size)
