"""Upsampling over space, which keeps the group axis.

With an integer factor the new pixels lie symmetrically about the centre of the map, so that nearest, bilinear and
bicubic interpolation commute with every L_h: nearest to the last bit, the others to rounding.
"""

import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.geometry import Pair, pair
from attentive_gconv.nn.arguments import checked, one_of
from attentive_gconv.nn.pooling import Planewise

MODES = ("nearest", "bilinear", "bicubic")


class SpatialUpsample2d(Planewise):
    """Upsampling over space by an integer factor.

    Args:
        scale_factor: one integer, or two, (Y, X).
        mode: ``"nearest"``, ``"bilinear"`` or ``"bicubic"``, as in `torch.nn.Upsample` with ``align_corners=False``.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, C, |H|, f·Y, f·X)``; planar maps ``(B, C, Y, X)`` likewise.

    Raises:
        ValueError: on other shapes, or arguments out of range.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.SpatialUpsample2d(2)(torch.randn(2, 8, 4, 12, 12)).shape
        torch.Size([2, 8, 4, 24, 24])
    """

    @checked(mode=one_of(*MODES))
    def __init__(self, scale_factor: int | Pair, mode: str = "nearest") -> None:
        super().__init__()
        self.scale_factor = pair(scale_factor)
        self.mode = mode

    def _of_planes(self, planes: Tensor) -> Tensor:
        size = [side * factor for side, factor in zip(planes.shape[-2:], self.scale_factor, strict=True)]
        corners = None if self.mode == "nearest" else False
        return F.interpolate(planes, size, mode=self.mode, align_corners=corners)

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}"
