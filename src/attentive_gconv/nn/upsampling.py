"""Upsampling over space, which keeps the group axis.

A factor that is a whole number maps the centres of pixels symmetrically about the centre of the map, so that nearest,
bilinear and bicubic interpolation commute with every L_h: nearest to the last bit, the others to rounding.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.functional.geometry import Pair, pair
from attentive_gconv.nn.arguments import checked, one_of

MODES = ("nearest", "bilinear", "bicubic")


class SpatialUpsample2d(nn.Module):
    """Upsampling over space by a whole factor.

    Args:
        scale_factor: a whole number, or two, (Y, X).
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

    def forward(self, x: Tensor) -> Tensor:
        """Upsample every plane."""
        if x.dim() not in (4, 5):
            raise ValueError(f"SpatialUpsample2d takes (B, C, |H|, Y, X) or (B, C, Y, X), got shape {tuple(x.shape)}")
        size = [side * factor for side, factor in zip(x.shape[-2:], self.scale_factor, strict=True)]
        corners = None if self.mode == "nearest" else False
        planes = F.interpolate(x.flatten(1, -3), size, mode=self.mode, align_corners=corners)
        out: Tensor = planes.unflatten(1, x.shape[1:-2])
        return out

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}"
