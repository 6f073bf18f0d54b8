"""Lazy datasets: images are read on access, augmented and standardised."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from attentive_gconv.data.augmentation import Transform, augmentation_name, make_augmentation
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.splits import DataSplits, LabelledDataset


class ImageSource(ABC):
    """Raw images by index. Copies of a source in several processes read the same images."""

    @abstractmethod
    def read(self, positions: Sequence[int]) -> Tensor:
        """Read the images at these indices, float32 ``(B, C, Y, X)`` in [0, 1]."""


class StoredPixels(ImageSource):
    """Images in one uint8 tensor ``(N, C, Y, X)``: a quarter of the memory of float32."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def read(self, positions: Sequence[int]) -> Tensor:
        """Read the images at these indices."""
        return self.pixels[torch.as_tensor(positions, device="cpu")].float().div_(255)


@dataclass(frozen=True)
class LabelledSource:
    """Raw images with their labels, int64 ``(N,)``."""

    images: ImageSource
    labels: Tensor


class SourceDataset(LabelledDataset):
    """Dataset over images of a source, standardised and optionally augmented.

    Args:
        part: the source and the labels of all its images.
        positions: indices of the dataset's images in the source, int64 ``(N,)``; None for all.
        mean, std: one number for each channel; images become ``(image - mean) / std``.
        augmentation: one of `attentive_gconv.data.augmentation.AUGMENTATIONS`, or a transform of one image.
    """

    def __init__(
        self,
        part: LabelledSource,
        positions: Tensor | None,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        augmentation: str | Transform = "none",
    ) -> None:
        positions = torch.arange(len(part.labels)) if positions is None else positions
        super().__init__(part.labels[positions])
        self.source = part.images
        self.positions = positions
        self.mean, self.std = (torch.tensor(values, device="cpu").view(-1, 1, 1) for values in (mean, std))
        self.augmentation = make_augmentation(augmentation, len(positions))

    def draw_from(self, seed: int) -> None:
        """Draw the data augmentation from a seed; it stays the same until the next call."""
        if self.augmentation is not None:
            self.augmentation.draw_from(seed)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Items of a batch, read at once; `torch.utils.data.DataLoader` calls it."""
        chosen = torch.as_tensor(indices, device="cpu")
        images = self.source.read(self.positions[chosen].tolist())
        if self.augmentation is not None:
            images = self.augmentation(images, indices)
        images = images.sub_(self.mean).div_(self.std)
        return list(zip(images.unbind(), self.labels[chosen].tolist(), strict=True))


def splits_from_sources(
    request: LoadRequest,
    train: tuple[LabelledSource, Tensor | None],
    valid: tuple[LabelledSource, Tensor | None] | None,
    test: LabelledSource,
    *,
    name: str,
    description: str,
    source: str,
    classes: tuple[str, ...],
    image_shape: tuple[int, int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    cache_path: Path | None = None,
) -> DataSplits:
    """Build the splits of a lazy dataset.

    Args:
        request: holds the protocol and the augmentation of the training images.
        train, valid: a source and the indices of the split's images in it; None for all.
        test: the test images.
        name, description, source, classes, image_shape, mean, std, cache_path: see `DataSplits`.
    """
    return DataSplits(
        name=name,
        description=description,
        source=source,
        classes=classes,
        image_shape=image_shape,
        train=SourceDataset(*train, mean, std, augmentation=request.augmentation),
        valid=None if valid is None else SourceDataset(*valid, mean, std),
        test=SourceDataset(test, None, mean, std),
        mean=mean,
        std=std,
        protocol=request.protocol,
        augmentation=augmentation_name(request.augmentation),
        cache_path=cache_path,
    )


def held_out_at_the_end(count: int, held_out: int, protocol: str) -> tuple[Tensor, Tensor | None]:
    """Indices of the training set and, under the protocol ``"validation"``, of the validation set: the last ones."""
    positions = torch.arange(count)
    if protocol != "validation":
        return positions, None
    return positions[:-held_out], positions[-held_out:]
