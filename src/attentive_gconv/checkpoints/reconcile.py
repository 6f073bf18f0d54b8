"""Match a dataset to a network's model card: order of the classes, stored axes, mean and std.

A dataset with other classes or shapes is refused.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.data import DataSplits, LabelledDataset
from attentive_gconv.settings import ConfigError


def reconcile(splits: DataSplits, card: ModelCard) -> DataSplits:
    """Convert the splits to the labels, axes and standardisation of the card.

    Raises:
        ConfigError: if the dataset has other classes than the card, or images of another shape.
    """
    transpose = splits.transposed != card.transposed
    channels, height, width = splits.image_shape
    shape = (channels, width, height) if transpose else splits.image_shape
    named = f"dataset (={splits.name!r}) has {len(splits.classes)} classes of images {shape}"
    if (len(splits.classes), shape) != (len(card.classes), card.image_shape):
        raise ConfigError(
            f"{named}, the network {card.model} takes {len(card.classes)} of {card.image_shape}: give another dataset"
        )
    if set(splits.classes) != set(card.classes):
        unknown = ", ".join(sorted(set(splits.classes) - set(card.classes)))
        absent = ", ".join(sorted(set(card.classes) - set(splits.classes)))
        raise ConfigError(
            f"{named}, but not those that the network {card.model} was trained on: it does not know {unknown}, and "
            f"{absent} are missing; name the classes (for image-folder: the folders) as they were in training"
        )
    standardise = restandardise(splits.mean, splits.std, card.mean, card.std)
    if not transpose and standardise is None and splits.classes == card.classes:
        return splits
    if splits.classes != card.classes and len(set(card.classes)) < len(card.classes):
        raise ConfigError(
            f"{named}, in another order than the network {card.model}, and some have the same name: rename them"
        )
    order = range(len(card.classes)) if splits.classes == card.classes else map(card.classes.index, splits.classes)
    labels = torch.tensor(list(order), device="cpu")

    def convert(dataset: LabelledDataset) -> LabelledDataset:
        return _Reconciled(dataset, labels, transpose, standardise)

    return replace(
        splits,
        classes=card.classes,
        image_shape=shape,
        mean=card.mean,
        std=card.std,
        transposed=card.transposed,
        train=convert(splits.train),
        valid=None if splits.valid is None else convert(splits.valid),
        test=convert(splits.test),
    )


def restandardise(
    mean: tuple[float, ...], std: tuple[float, ...], to_mean: tuple[float, ...], to_std: tuple[float, ...]
) -> Callable[[Tensor], Tensor] | None:
    """A function from images standardised with one mean and std to images standardised with another; None if equal."""
    if (mean, std) == (to_mean, to_std):
        return None

    def column(values: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device).view(-1, 1, 1)

    def convert(images: Tensor) -> Tensor:
        raw = images * column(std, images) + column(mean, images)
        return (raw - column(to_mean, images)) / column(to_std, images)

    return convert


class _Reconciled(LabelledDataset):
    """Another dataset, whose items are converted as they are read."""

    def __init__(
        self,
        images: LabelledDataset,
        labels: Tensor,
        transpose: bool,
        standardise: Callable[[Tensor], Tensor] | None,
    ) -> None:
        super().__init__(labels[images.labels])
        self.images = images
        self.transpose = transpose
        self.standardise = standardise

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index][0]
        if self.transpose:
            image = image.transpose(-2, -1)
        return image if self.standardise is None else self.standardise(image), int(self.labels[index])

    def draw_from(self, seed: int) -> None:
        """Pass the seed on to the images."""
        self.images.draw_from(seed)
