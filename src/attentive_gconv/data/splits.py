"""Labelled, standardised images in training, validation and test sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from attentive_gconv.data.augmentation import RandomAugmentation, Transform, augmentation_name, make_augmentation


class LabelledDataset(Dataset[tuple[Tensor, int]]):
    """Dataset of pairs of a float32 image ``(C, Y, X)`` and an int label; labels are known without reading images.

    Subclasses define ``__getitem__``, which may read lazily and augment, and, if they draw random numbers, `draw_from`.

    Attributes:
        labels: int64 ``(N,)``.
    """

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def draw_from(self, seed: int) -> None:
        """Seed the data augmentation, which then depends on this seed and an item's index alone.

        Training calls it before every epoch. By default it does nothing.
        """


class InMemoryDataset(LabelledDataset):
    """Dataset of images in one tensor.

    Args:
        images: float32 ``(N, C, Y, X)``, standardised.
        labels: int64 ``(N,)``.
        augmentation: data augmentation.
        black: value of a black pixel in ``images``.
        std: standard deviation that pixels in [0, 1] were divided by.

    Raises:
        ValueError: if the shapes do not fit.
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
                f"`images` (of shape {tuple(images.shape)}) must be (N, C, Y, X) and `labels` (of shape "
                f"{tuple(labels.shape)}) (N,), with the same N"
            )
        super().__init__(labels)
        self.images = images
        self.augmentation = augmentation
        self.black = black
        self.std = std

    def draw_from(self, seed: int) -> None:
        """Draw the data augmentation from a seed; it stays the same until the next call."""
        if self.augmentation is not None:
            self.augmentation.draw_from(seed)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._gather([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Items of a batch, gathered at once; `torch.utils.data.DataLoader` calls it."""
        return self._gather(indices)

    def _gather(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        positions = torch.as_tensor(indices, dtype=torch.int64, device="cpu")
        images = self.images[positions]
        if self.augmentation is not None:
            std = self.std if self.augmentation.of_pixels else 1.0
            images = self.augmentation((images - self.black) * std, indices) / std + self.black
        return list(zip(images.unbind(), self.labels[positions].tolist(), strict=True))


@dataclass(frozen=True)
class DataSplits:
    """A dataset's training, validation and test sets, and what a model card says about them.

    Attributes:
        name: name in `list_datasets`.
        description: one line: source, how it was made, seed.
        source: one of the dataset's sources, never ``"auto"``.
        classes: name of each label.
        image_shape: ``(C, Y, X)`` of the network's input.
        train: the training set.
        valid: the validation set, which chooses the epoch; None if there is none.
        test: the test set, on which the error is reported.
        mean, std: mean and standard deviation of pixels in [0, 1], one number for each channel: images are
            ``(image - mean) / std``.
        protocol: ``"validation"``, ``"final"`` or ``"paper"``.
        augmentation: name of the training set's data augmentation.
        transposed: whether rows and columns of the images are exchanged, as in the original rot-MNIST archive. An
            ordinary image must be transposed before it is given to a network that was trained on such a dataset.
        cache_path: the cache file that the images were read from; None if there is none.
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
        """The splits by name; ``"valid"`` is missing if there is no validation set."""
        splits = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def class_counts(self) -> dict[str, list[int]]:
        """Number of images of each class, by split, without reading images."""
        return {
            name: torch.bincount(split.labels, minlength=len(self.classes)).tolist()
            for name, split in self.by_name().items()
        }


@dataclass(frozen=True)
class LabelledImages:
    """Raw images in memory: pixels float32 ``(N, C, Y, X)`` in [0, 1], labels int64 ``(N,)``."""

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
    """Build the splits of a dataset in memory, standardised in place by the scalar mean and std of the training set.

    Args:
        training, test: raw images.
        held_out: number of images at the end of ``training`` that the ``"validation"`` protocol holds out.
        protocol, name, description, source, classes, augmentation, transposed, cache_path: see `DataSplits`.
    """
    last = len(training.labels) - (held_out if protocol == "validation" else 0)
    # numpy sums in one thread and a fixed order: bit-identical on any number of cores
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
