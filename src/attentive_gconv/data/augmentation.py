"""Data augmentation: the random horizontal flips and crops of "CIFAR-10+", and random rotations.

``flip-crop`` mirrors an image left to right with probability 1/2, lays it on black with a border of 4 pixels at each
side, and cuts a window of the original size out of that, at each of the 9 x 9 offsets with the same probability. It
works on pixels in [0, 1], before they are standardised.

``rotation`` turns an image about its centre by an angle uniform in [0°, 360°), with bilinear interpolation and black
from outside.

Source: He et al., CVPR 2016, §4.2, https://arxiv.org/abs/1512.03385, where ``flip-crop`` is that of CIFAR-10.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.data.rotation import rotate_images

AUGMENTATIONS = {
    "none": "no augmentation",
    "flip-crop": "random horizontal flips, and random crops after padding with 4 black pixels",
    "rotation": "random rotations by any angle about the image's centre",
}


class RandomAugmentation(ABC):
    """Random changes of the images of a dataset, a function of a seed and an image's index.

    What happens to an image is drawn anew whenever it is read, from torch's global generator. After `draw_from` it is a
    function of that seed and the image's position alone, so that it matters neither which process reads the image nor
    in which order, and a resumed training sees what the unbroken one would have seen.

    Args:
        count: how many images the dataset has.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._drawn: tuple[np.ndarray, ...] | None = None

    def draw_from(self, seed: int) -> None:
        """Draw the changes of all images from a seed; they hold until the next call."""
        self._drawn = self._draw(np.random.RandomState(seed), self.count)

    def __call__(self, images: Tensor, positions: Sequence[int]) -> Tensor:
        """Augment the images ``(B, C, Y, X)`` with these indices of the dataset; 0 is black."""
        if self._drawn is None:
            # numpy's generator is seeded from torch's, which a DataLoader seeds differently in every worker
            return self._change(images, *self._draw(np.random.RandomState(int(torch.randint(2**31, ()))), len(images)))
        return self._change(images, *(values[np.asarray(positions)] for values in self._drawn))

    @abstractmethod
    def _draw(self, random: np.random.RandomState, count: int) -> tuple[np.ndarray, ...]:
        """Random values for this many images."""

    @abstractmethod
    def _change(self, images: Tensor, *values: np.ndarray) -> Tensor:
        """The images, changed as their random values say."""


class FlipCrop(RandomAugmentation):
    """Data augmentation ``flip-crop``: random horizontal flips and padded crops.

    Args:
        count: how many images the dataset has.
        border: by how many pixels an image can be moved.
    """

    def __init__(self, count: int, border: int = 4) -> None:
        super().__init__(count)
        self.border = border

    def _draw(self, random: np.random.RandomState, count: int) -> tuple[np.ndarray, ...]:
        offsets = 2 * self.border + 1
        return random.randint(0, 2, count) > 0, random.randint(0, offsets, count), random.randint(0, offsets, count)

    def _change(self, images: Tensor, *values: np.ndarray) -> Tensor:
        flips, tops, lefts = values
        height, width = images.shape[-2:]
        rows = tops[:, None] + np.arange(height)
        columns = lefts[:, None] + np.where(flips[:, None], np.arange(width)[::-1], np.arange(width))
        padded = F.pad(images, (self.border,) * 4)
        batch, channels = torch.arange(len(images))[:, None, None, None], torch.arange(images.shape[1])[:, None, None]
        return padded[
            batch, channels, torch.from_numpy(rows)[:, None, :, None], torch.from_numpy(columns)[:, None, None]
        ]


class Rotation(RandomAugmentation):
    """Data augmentation ``rotation``: random rotations about the centre, bilinear, black from outside."""

    def _draw(self, random: np.random.RandomState, count: int) -> tuple[np.ndarray, ...]:
        return (random.uniform(0.0, 360.0, count),)

    def _change(self, images: Tensor, *values: np.ndarray) -> Tensor:
        return rotate_images(images, torch.from_numpy(values[0]))


def make_augmentation(name: str, count: int) -> RandomAugmentation | None:
    """The augmentation of `AUGMENTATIONS` by name, for a dataset of this many images; None for ``"none"``."""
    kinds: dict[str, type[RandomAugmentation]] = {"flip-crop": FlipCrop, "rotation": Rotation}
    return kinds[name](count) if name != "none" else None
