"""Conversion of a network's images, maps and poses for display.

A network sees a standardised image, which some datasets (rot-MNIST) store columns first. People want it upright, in
its own grey levels, and its maps beside it the same way. Exchanging rows and columns is a mirroring: it turns the sense
of a rotation round. What an element of the group does is therefore shown by the matrix T M_h T, T the exchange.

The arrow of a pose is what its element makes of "up". Mirrored poses have a second sign beside the direction.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attentive_gconv.groups import FiniteGroup


@dataclass(frozen=True)
class Display:
    """Converts a network's tensors to upright pixels, and poses to arrows.

    Attributes:
        mean, std: one number a channel, with which images were standardised.
        transposed: whether the network's images are stored columns first.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    transposed: bool = False

    def plane(self, plane: Tensor) -> np.ndarray:
        """Convert a map ``(..., Y, X)`` to an upright array."""
        return (plane.mT if self.transposed else plane).detach().cpu().numpy()

    def pixels(self, image: Tensor) -> np.ndarray:
        """Convert an image ``(C, Y, X)`` to upright pixels in [0, 1], ``(Y, X)`` or ``(Y, X, 3)``.

        Raises:
            ValueError: if the image has neither one nor three channels.
        """
        if image.dim() != 3 or len(image) not in (1, 3):
            raise ValueError(f"an image that is shown must be (1, Y, X) or (3, Y, X), got {tuple(image.shape)}")
        mean, std = (torch.tensor(values, dtype=image.dtype).view(-1, 1, 1) for values in (self.mean, self.std))
        pixels = self.plane((image.cpu() * std + mean).clamp(0, 1))
        return pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)

    def sense(self) -> int:
        """1 where the network's counter-clockwise is the eye's, else -1."""
        return -1 if self.transposed else 1

    def arrow(self, group: FiniteGroup, element: int) -> "Arrow":
        """The arrow of a pose: where its element takes "up"."""
        (a, b), (c, d) = group.matrices[element]
        if self.transposed:
            a, b, c, d = d, c, b, a
        angle = round(math.degrees(math.atan2(c, a)), 1) % 360  # from up, counter-clockwise: (y, x) = (-a, -c)
        return Arrow(x=float(-c), y=float(-a), degrees=angle, mirrored=a * d - b * c < 0)

    def poses(self, group: FiniteGroup) -> list[tuple[int, "Arrow"]]:
        """The poses and their arrows in display order: counter-clockwise from up."""
        arrows = [(h, self.arrow(group, h)) for h in range(group.order)]
        return sorted(arrows, key=lambda pose: (pose[1].mirrored, pose[1].degrees))


@dataclass(frozen=True)
class Arrow:
    """A direction on the screen.

    Attributes:
        x, y: its unit vector, to the right and down.
        degrees: from up, counter-clockwise.
        mirrored: whether the pose is a mirrored one.
    """

    x: float
    y: float
    degrees: float
    mirrored: bool

    @property
    def name(self) -> str:
        """Name of the direction, for titles."""
        return f"mirrored, {self.degrees:g}°" if self.mirrored else f"{self.degrees:g}°"
