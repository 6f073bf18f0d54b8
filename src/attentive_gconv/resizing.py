"""Resizing of images with the aspect ratio kept.

``fit="pad"``: the longer side is scaled to fit and the rest is filled with the median colour of the image's border.
``fit="crop"``: the shorter side is scaled to fit and the centre is cut out. Scaling is bilinear with anti-aliasing; an
image that has the size already is left as it is.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Fit = Literal["pad", "crop"]


def resize(pixels: Tensor, height: int, width: int, fit: Fit) -> Tensor:
    """Resize ``(C, Y, X)`` to ``(C, height, width)`` with the aspect ratio kept; see above for ``fit``."""
    old_height, old_width = pixels.shape[-2:]
    if (old_height, old_width) == (height, width):
        return pixels
    ratios = (height / old_height, width / old_width)
    scale = min(ratios) if fit == "pad" else max(ratios)
    size = (max(1, round(old_height * scale)), max(1, round(old_width * scale)))
    scaled = F.interpolate(pixels[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    if fit == "crop":
        return scaled[:, -top : -top + height, -left : -left + width]
    canvas = border_colour(pixels).view(-1, 1, 1).repeat(1, height, width)
    canvas[:, top : top + size[0], left : left + size[1]] = scaled
    return canvas


def border_colour(pixels: Tensor) -> Tensor:
    """Median colour of the four edges of ``(C, Y, X)``, one number for each channel."""
    edges = (pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1])
    return torch.cat(edges, dim=1).median(dim=1).values
