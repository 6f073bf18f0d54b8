"""Data augmentation: the random horizontal flips and crops of "CIFAR-10+", and random rotations.

``flip-crop`` flips an image left to right with probability 1/2, pads it with 4 black pixels on each side, and crops a
window of the original size at one of the 9 x 9 offsets, all with the same probability. It works on pixels in [0, 1],
before they are standardised.

``rotation`` rotates an image about its centre by an angle uniform in [0°, 360°), with bilinear interpolation and black
padding.

Any other name is a class of `torchvision.transforms.v2`, or the import path of a transform that the user has imported.
It is applied to one image ``(C, Y, X)`` in [0, 1] at a time, with all random number generators seeded for that image,
so that it is reproducible as well.

Source of ``flip-crop``: He et al., CVPR 2016, §4.2 (CIFAR-10), https://arxiv.org/abs/1512.03385.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.data.rotation import rotate_images
from attentive_gconv.importing import check_arguments, find_class, is_imported_on_purpose

Transform = Callable[[Tensor], Tensor]

AUGMENTATIONS = {
    "none": "no augmentation",
    "flip-crop": "random horizontal flips, and random crops after padding with 4 black pixels",
    "rotation": "random rotations by any angle about the image's centre",
}


class RandomAugmentation(ABC):
    """Random changes of a dataset's images.

    By default the changes are drawn from torch's global generator whenever an image is read. After `draw_from(seed)`
    they depend on the seed and the image's index alone, whichever process reads the image and in whatever order, so
    that a resumed training sees the same images as an uninterrupted one.

    Args:
        count: number of images in the dataset.

    Attributes:
        of_pixels: whether images must be pixels in [0, 1]; otherwise they may have any scale on which black is 0.
    """

    of_pixels: ClassVar[bool] = False

    def __init__(self, count: int) -> None:
        self.count = count
        self._drawn: tuple[np.ndarray, ...] | None = None

    def draw_from(self, seed: int) -> None:
        """Draw the changes of all images from a seed; they stay the same until the next call."""
        self._drawn = self._draw(np.random.RandomState(seed), self.count)

    def __call__(self, images: Tensor, positions: Sequence[int]) -> Tensor:
        """Augment the images ``(B, C, Y, X)`` at these indices of the dataset; black is 0."""
        if self._drawn is None:
            # numpy's generator is seeded from torch's, which a DataLoader seeds differently in every worker
            seed = int(torch.randint(2**31, (), device="cpu"))
            return self._change(images, *self._draw(np.random.RandomState(seed), len(images)))
        return self._change(images, *(values[np.asarray(positions)] for values in self._drawn))

    @abstractmethod
    def _draw(self, random: np.random.RandomState, count: int) -> tuple[np.ndarray, ...]:
        """Random values for this many images."""

    @abstractmethod
    def _change(self, images: Tensor, *values: np.ndarray) -> Tensor:
        """Apply the changes that the random values describe."""


class FlipCrop(RandomAugmentation):
    """Data augmentation ``flip-crop``: random horizontal flips and padded crops.

    Args:
        count: number of images in the dataset.
        border: number of pixels of padding on each side.
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
        batch, channels = np.arange(len(images))[:, None, None, None], np.arange(images.shape[1])[:, None, None]
        index = (batch, channels, rows[:, None, :, None], columns[:, None, None])
        return padded[tuple(map(torch.from_numpy, index))]


class Rotation(RandomAugmentation):
    """Data augmentation ``rotation``: random rotations about the centre, bilinear, with black padding."""

    def _draw(self, random: np.random.RandomState, count: int) -> tuple[np.ndarray, ...]:
        return (random.uniform(0.0, 360.0, count),)

    def _change(self, images: Tensor, *values: np.ndarray) -> Tensor:
        return rotate_images(images, torch.from_numpy(values[0]))


class Transformed(RandomAugmentation):
    """Data augmentation by a transform of one image, such as those of torchvision.

    Args:
        count: number of images in the dataset.
        transform: a function of an image ``(C, Y, X)`` in [0, 1] that keeps shape and dtype. It may draw from the
            global generators of torch, numpy and Python.
    """

    of_pixels = True

    def __init__(self, count: int, transform: Transform) -> None:
        super().__init__(count)
        self.transform = transform

    def _draw(self, random: np.random.RandomState, count: int) -> tuple[np.ndarray, ...]:
        return (random.randint(0, 2**31, count),)

    def _change(self, images: Tensor, *values: np.ndarray) -> Tensor:
        return torch.stack([self._one(image, int(seed)) for image, seed in zip(images, values[0], strict=True)])

    def _one(self, image: Tensor, seed: int) -> Tensor:
        with seeded_generators(seed):
            changed = self.transform(image)
        if not isinstance(changed, Tensor) or changed.shape != image.shape or changed.dtype != image.dtype:
            got = f"{changed.dtype} {tuple(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
            raise ValueError(
                f"`augmentation` (={augmentation_name(self.transform)}) gives {got} for an image {image.dtype} "
                f"{tuple(image.shape)}: it must keep shape and dtype"
            )
        return changed


@contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """Seed the generators of torch (CPU), numpy and Python for a block of code; restore their states afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def find_augmentation(augmentation: str | Transform, options: Mapping[str, Any] | None = None) -> str | Transform:
    """Find an augmentation: its name if it is one of the library's, else a transform.

    Args:
        augmentation: one of `AUGMENTATIONS`, a class of `torchvision.transforms.v2` by name, the import path of a class
            of transforms or of a function of one image, or a transform itself.
        options: arguments of the class, or further arguments of the function.

    Raises:
        ValueError: if there is no such augmentation, or it does not take the options.

    Example:
        >>> find_augmentation("RandomRotation", {"degrees": 10})
        RandomRotation(degrees=[-10.0, 10.0], ...)
    """
    options = dict(options or {})
    if not isinstance(augmentation, str) or augmentation in AUGMENTATIONS:
        if options:
            raise ValueError(f"`augmentation_options` (={options}) have no meaning for augmentation {augmentation!r}")
        return augmentation
    within = "torchvision.transforms.v2"

    def suits(found: Any) -> bool:
        # settings may come from untrusted files: functions are called only if the user has imported them for it
        known = isinstance(found, type) and issubclass(found, torch.nn.Module)
        return known or (callable(found) and is_imported_on_purpose(getattr(found, "__module__", "")))

    kind = find_class("augmentation", augmentation, within=within, suits=suits, names=AUGMENTATIONS)
    check_arguments("augmentation_options", kind, options, fixed=(), fields=())
    if not isinstance(kind, type):
        return partial(kind, **options) if options else kind
    try:
        transform: Transform = kind(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`augmentation` (={augmentation!r}) refuses `augmentation_options` (={options}): {error}"
        ) from error
    if not callable(transform):
        raise ValueError(f"`augmentation` (={augmentation!r}) makes no transform, but {type(transform).__name__}")
    return transform


def augmentation_name(augmentation: str | Transform) -> str:
    """Name of an augmentation, for `DataSplits.augmentation`."""
    return augmentation if isinstance(augmentation, str) else getattr(augmentation, "__name__", repr(augmentation))


def make_augmentation(augmentation: str | Transform, count: int) -> RandomAugmentation | None:
    """Make the augmentation that `find_augmentation` found, for ``count`` images; None for ``"none"``."""
    kinds: dict[str, type[RandomAugmentation]] = {"flip-crop": FlipCrop, "rotation": Rotation}
    if not isinstance(augmentation, str):
        return Transformed(count, augmentation)
    return kinds[augmentation](count) if augmentation != "none" else None
