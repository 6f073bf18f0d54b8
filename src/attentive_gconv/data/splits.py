"""Datasets for training: labelled, standardised images in training, validation and test sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from attentive_gconv.data.augmentation import RandomAugmentation, Transform, augmentation_name, make_augmentation


class LabelledDataset(Dataset[tuple[Tensor, int]]):
    """Dataset of (float32 image [C, Y, X], int label) whose labels are known before any image is read.

    Subclasses define ``__getitem__``; those that read lazily, or augment, do it there, and `draw_from` if they draw.

    Attributes:
        labels: int64 [N].
    """

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def draw_from(self, seed: int) -> None:
        """Seed the data augmentation: from now on it is a function of this seed and the item's index.

        A training calls it before every epoch; a dataset that draws nothing has nothing to do.
        """


class InMemoryDataset(LabelledDataset):
    """Dataset of images in one tensor.

    Args:
        images: float32 [N, C, Y, X], as the network takes them.
        labels: int64 [N].
        augmentation: random changes of the images when they are read.
        black: the value of a black pixel in ``images``.
        std: what pixels in [0, 1] were divided by.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        augmentation: RandomAugmentation | None = None,
        black: float = 0.0,
        std: float = 1.0,
    ) -> None:
        if images.ndim != 4 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"`images` (of shape {tuple(images.shape)}) must be [N, C, Y, X] and `labels` (of shape "
                f"{tuple(labels.shape)}) [N], with the same N"
            )
        super().__init__(labels)
        self.images = images
        self.augmentation = augmentation
        self.black = black
        self.std = std

    def draw_from(self, seed: int) -> None:
        """Draw the data augmentation from a seed; it holds until the next call."""
        if self.augmentation is not None:
            self.augmentation.draw_from(seed)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._gather([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Items of a batch, gathered at once; DataLoader calls it."""
        return self._gather(indices)

    def _gather(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        positions = torch.as_tensor(indices, dtype=torch.int64)
        images = self.images[positions]
        if self.augmentation is not None:
            std = self.std if self.augmentation.of_pixels else 1.0
            images = self.augmentation((images - self.black) * std, indices) / std + self.black
        return list(zip(images.unbind(), self.labels[positions].tolist(), strict=True))


@dataclass(frozen=True)
class DataSplits:
    """A dataset's training, validation and test sets, and the facts that a model card needs.

    Attributes:
        name: as `list_datasets` has it.
        description: one line: the source, how it was made, with which seed.
        source: which of the dataset's sources it came from, never ``"auto"``.
        classes: name of each label.
        image_shape: (C, Y, X) as the network sees it.
        train: the training set.
        valid: the validation set, split off the training images to choose the epoch on; None without one.
        test: the test set, which the error is reported on.
        mean: of the pixel values in [0, 1], a number a channel: images become ``(image - mean) / std``.
        std: likewise.
        protocol: ``"validation"``, ``"final"`` or ``"paper"``.
        augmentation: random changes of the training images, in words.
        transposed: whether the images have rows and columns exchanged, as the original rot-MNIST archive has them. An
            ordinary image must be transposed before a network that was trained on such a dataset sees it.
        cache_path: the derived file that the images came from, None where there is none.
    """

    name: str
    description: str
    source: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train: LabelledDataset
    valid: LabelledDataset | None
    test: LabelledDataset
    mean: tuple[float, ...]
    std: tuple[float, ...]
    protocol: str
    augmentation: str = "none"
    transposed: bool = False
    cache_path: Path | None = None

    def by_name(self) -> dict[str, LabelledDataset]:
        """The splits by name; without ``"valid"`` if there is no validation set."""
        splits = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def class_counts(self) -> dict[str, list[int]]:
        """Number of images of each class, by split; no image is read for it."""
        return {
            name: torch.bincount(split.labels, minlength=len(self.classes)).tolist()
            for name, split in self.by_name().items()
        }


@dataclass(frozen=True)
class LabelledImages:
    """Raw images in memory: pixels float32 [N, C, Y, X] in [0, 1], labels int64 [N]."""

    images: Tensor
    labels: Tensor


def splits_in_memory(
    training: LabelledImages,
    test: LabelledImages,
    *,
    held_out: int,
    protocol: str,
    name: str,
    description: str,
    source: str,
    classes: tuple[str, ...],
    augmentation: str | Transform = "none",
    transposed: bool = False,
    cache_path: Path | None = None,
) -> DataSplits:
    """Splits for a protocol, standardised by the scalar mean and std of the images that are trained on.

    The images are standardised in place.

    Args:
        held_out: how many images at the end of ``training`` the ``"validation"`` protocol keeps for validation.
    """
    last = len(training.labels) - (held_out if protocol == "validation" else 0)
    # numpy reduces in one thread and a fixed order: the same figures to the last bit on any number of cores
    pixels = training.images[:last].numpy()
    mean, std = float(pixels.mean(dtype=np.float64)), float(pixels.std(dtype=np.float64))
    for part in (training, test):
        part.images.sub_(mean).div_(std)
    channels, height, width = training.images.shape[1:]
    return DataSplits(
        name=name,
        description=description,
        source=source,
        classes=classes,
        image_shape=(channels, height, width),
        train=InMemoryDataset(
            training.images[:last],
            training.labels[:last],
            augmentation=make_augmentation(augmentation, last),
            black=-mean / std,
            std=std,
        ),
        valid=InMemoryDataset(training.images[last:], training.labels[last:]) if protocol == "validation" else None,
        test=InMemoryDataset(test.images, test.labels),
        mean=(mean,) * channels,
        std=(std,) * channels,
        protocol=protocol,
        augmentation=augmentation_name(augmentation),
        transposed=transposed,
        cache_path=cache_path,
    )
