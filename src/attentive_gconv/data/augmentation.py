"""Data augmentation: the random horizontal flips and crops of "CIFAR-10+", and random rotations.

``flip-crop`` mirrors an image left to right with probability 1/2, lays it on black with a border of 4 pixels at each
side, and cuts a window of the original size out of that, at each of the 9 x 9 offsets with the same probability. It
works on pixels in [0, 1], before they are standardised.

``rotation`` turns an image about its centre by an angle uniform in [0°, 360°), with bilinear interpolation and black
from outside.

Any other name is a class of `torchvision.transforms.v2`, or the import path of one that the user has imported. It works
on one image ``(C, Y, X)`` in [0, 1] at a time, with all generators of random numbers seeded from the image's index, so
that it is reproducible, too.

Source: He et al., CVPR 2016, §4.2, https://arxiv.org/abs/1512.03385, where ``flip-crop`` is that of CIFAR-10.
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
    """Random changes of the images of a dataset, a function of a seed and an image's index.

    What happens to an image is drawn anew whenever it is read, from torch's global generator. After `draw_from` it is a
    function of that seed and the image's position alone, so that it matters neither which process reads the image nor
    in which order, and a resumed training sees what the unbroken one would have seen.

    Args:
        count: how many images the dataset has.

    Attributes:
        of_pixels: whether the images must be pixels in [0, 1]; else 0 is black and any scale will do.
    """

    of_pixels: ClassVar[bool] = False

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


class Transformed(RandomAugmentation):
    """Data augmentation by a transform of one image, such as those of torchvision.

    Args:
        count: how many images the dataset has.
        transform: ``(C, Y, X)`` in [0, 1] to the same shape. It may draw from the generators of torch, numpy, Python.
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
    """Within, the generators of torch (CPU), numpy and Python start from a seed; afterwards they are as before."""
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
    """The name of an augmentation of the library, or a transform.

    Args:
        augmentation: one of `AUGMENTATIONS`, a class of `torchvision.transforms.v2` by name, the import path of a class
            of transforms or of a function of one image, or a transform itself.
        options: arguments of the class, or further ones of the function.

    Raises:
        ValueError: if there is none, or it does not take the options.

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
        # as settings may come from anybody, nothing else is called but what the user has imported for it
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
    """What the facts about a dataset say."""
    return augmentation if isinstance(augmentation, str) else getattr(augmentation, "__name__", repr(augmentation))


def make_augmentation(augmentation: str | Transform, count: int) -> RandomAugmentation | None:
    """What `find_augmentation` gives, for a dataset of this many images; None for ``"none"``."""
    kinds: dict[str, type[RandomAugmentation]] = {"flip-crop": FlipCrop, "rotation": Rotation}
    if not isinstance(augmentation, str):
        return Transformed(count, augmentation)
    return kinds[augmentation](count) if augmentation != "none" else None
