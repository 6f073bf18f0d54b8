"""Normalisation of maps on the group: statistics are shared over the group axis and space.

One mean and variance for each channel, over (|H|, Y, X) and, in batch normalisation, B, commutes with every L_h.

Source: Ioffe & Szegedy, ICML 2015, https://arxiv.org/abs/1502.03167 (batch normalisation), in the group form of Cohen &
Welling, ICML 2016, §6.3.
"""

from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.functional.operands import check_real
from attentive_gconv.nn.arguments import checked, optional
from attentive_gconv.nn.checks import integer, probability


class GroupBatchNorm2d(nn.BatchNorm3d):
    """Batch normalisation over ``(B, C, |H|, Y, X)``, with one mean and variance for each channel.

    The arguments, parameters and buffers are those of `torch.nn.BatchNorm3d`, so that
    `torch.nn.SyncBatchNorm.convert_sync_batchnorm` applies. The paper's networks use ``eps=2e-5``.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same.

    Raises:
        ValueError: on arguments out of range, or if the input is no map on the group.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.GroupBatchNorm2d(8)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
    """

    @checked(momentum=optional(probability))
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        _check_map(self, self.num_features, input)
        two_values(self, input)


class PooledBatchNorm(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` of pooled maps ``(B, C)`` or ``(B, C, |H|)``, with the error of `GroupBatchNorm2d`."""

    def _check_input_dim(self, input: Tensor) -> None:
        super()._check_input_dim(input)
        two_values(self, input)


def two_values(norm: nn.BatchNorm1d | nn.BatchNorm3d, x: Tensor) -> None:
    """Raise ValueError if a batch has a single value for each channel, and so no variance, where that is needed."""
    if (norm.training or norm.running_mean is None) and x.numel() == x.shape[1]:
        raise ValueError(
            f"batch normalisation in training needs more than one value a channel, got shape {tuple(x.shape)}; give a "
            "batch of two or more, call eval(), or leave the normalisation out"
        )


class GroupInstanceNorm2d(nn.InstanceNorm3d):
    """Instance normalisation over ``(B, C, |H|, Y, X)``: for each image and channel, over the group and space.

    The arguments, parameters and buffers are those of `torch.nn.InstanceNorm3d`. Source: Ulyanov et al., 2016,
    https://arxiv.org/abs/1607.08022.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same.

    Raises:
        ValueError: on arguments out of range, or if the input is no map on the group.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.GroupInstanceNorm2d(8)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
    """

    @checked()
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        _check_map(self, self.num_features, input)


class GroupNorm2d(nn.GroupNorm):
    """Group normalisation over ``(B, C, |H|, Y, X)``: for each image, over a group of channels, H and space.

    The groups of its name are groups of channels. With one, it is layer normalisation of the whole map. The arguments
    and parameters are those of `torch.nn.GroupNorm`. Source: Wu & He, ECCV 2018, https://arxiv.org/abs/1803.08494.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same.

    Raises:
        ValueError: on arguments out of range, channels that do not split into the groups, or if the input is no map on
            the group.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.GroupNorm2d(2, 8)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
    """

    @checked(num_groups=integer, num_channels=integer)
    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if num_channels % num_groups:
            raise ValueError(f"`num_channels` (={num_channels}) must be divisible by `num_groups` (={num_groups})")
        super().__init__(num_groups, num_channels, eps, affine, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(B, C, |H|, Y, X)``."""
        _check_map(self, self.num_channels, input)
        return super().forward(input)


def _check_map(norm: nn.Module, channels: int, x: Tensor) -> None:
    if x.dim() != 5 or x.shape[1] != channels:
        raise ValueError(
            f"{type(norm).__name__} takes maps on the group (B, {channels}, |H|, Y, X), got shape {tuple(x.shape)}"
        )
    check_real(type(norm).__name__, x)
