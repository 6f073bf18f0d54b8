"""Conversion of a network's images, maps and poses for display.

Networks take standardised images, which some datasets (rot-MNIST) store columns first. For display, images and maps are
transposed back and images have their original grey levels. The transposition T is a mirroring and reverses the sense of
rotation, so an element h of the group is displayed as T M_h T.

The arrow of a pose is the image of "up" under its element. Mirrored poses are marked in addition.
"""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from attentive_gconv.groups import FiniteGroup


@dataclass(frozen=True)
class Display:
    """Conversion of a network's tensors to upright pixels, and of poses to arrows.

    Attributes:
        mean, std: one number for each channel, with which images were standardised.
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
            raise ValueError(f"`image` must be (1, Y, X) or (3, Y, X) to be shown, got {tuple(image.shape)}")
        mean, std = (image.new_tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        pixels = self.plane((image * std + mean).clamp(0, 1))
        return pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)

    def sense(self) -> int:
        """1 if the displayed image rotates in the same sense as the network's, else -1."""
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
        x, y: unit vector; x points right, y down.
        degrees: angle from up, counter-clockwise.
        mirrored: whether the pose is mirrored.
    """

    x: float
    y: float
    degrees: float
    mirrored: bool

    @property
    def name(self) -> str:
        """Name of the pose, for titles."""
        return f"mirrored, {self.degrees:g}°" if self.mirrored else f"{self.degrees:g}°"
