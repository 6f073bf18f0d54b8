"""Evaluation on a dataset: error, recall and precision of each class, confusion matrix, rotated inputs."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from attentive_gconv.environment import require_workers

QUARTER_TURNS = {"90": 1, "180": 2, "270": 3}


@dataclass(frozen=True)
class ClassFigures:
    """Number of images, recall and precision of one class; None where a ratio would be 0/0."""

    name: str
    count: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`; errors and accuracies are fractions of 1.

    Attributes:
        images: number of images.
        error, accuracy: fractions of wrong and right predictions.
        loss: mean cross-entropy.
        classes: figures of each class.
        confusion: the confusion matrix; entry ``[true][predicted]`` counts images.
        changed_by_rotation: for each angle in degrees, the number of images whose prediction changes when the input is
            rotated by it: 0, up to rounding, for a network that is equivariant by construction. None if it was not
            measured; 90° and 270° are omitted if the images are not square.
        predicted: the predicted class of every image, in the order of the dataset.
    """

    images: int
    error: float
    accuracy: float
    loss: float
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    changed_by_rotation: dict[str, int] | None
    predicted: tuple[int, ...] = field(repr=False)

    def to_mapping(self) -> dict[str, Any]:
        """The result as plain values, without `predicted`."""
        return {name: value for name, value in asdict(self).items() if name != "predicted"}


def evaluate(
    module: nn.Module,
    dataset: Dataset[tuple[Tensor, int]],
    classes: tuple[str, ...],
    *,
    rotations: bool = True,
    limit: int | None = None,
    batch_size: int = 250,
    workers: int = 0,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Evaluation:
    """Measure a network on labelled images.

    Args:
        module: images ``(B, C, Y, X)`` to logits ``(B, len(classes))``. It is moved to the dtype and device, and put
            into eval mode.
        dataset: pairs of an image ``(C, Y, X)`` and an int label.
        classes: names of the classes.
        rotations: whether to count predictions that change when the input is rotated, at four times the cost.
        limit: evaluate only the first ``limit`` images.
        batch_size: number of images in a batch.
        workers: number of worker processes that load images.
        dtype, device: of the evaluation.

    Raises:
        ValueError: if there are no images, labels or logits do not fit the classes, or logits are not finite.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit (={limit}) must be at least 1, or None for all images")
    size = len(dataset)  # type: ignore[arg-type]
    if size == 0:
        raise ValueError("dataset holds no images")
    require_workers(workers)
    loader = DataLoader(Subset(dataset, range(min(size, limit or size))), batch_size=batch_size, num_workers=workers)
    module = module.to(device=device, dtype=dtype).eval()
    confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    predictions: list[int] = []
    changed: dict[str, int] = {}
    loss = 0.0
    with torch.inference_mode():
        for images, labels in loader:
            images, labels = images.to(device=device, dtype=dtype), labels.to(device)
            logits = module(images)
            _require_matching(logits, labels, len(classes))
            predicted = logits.argmax(1)
            predictions += predicted.tolist()
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            pairs = torch.bincount((labels * len(classes) + predicted).cpu(), minlength=len(classes) ** 2)
            confusion += pairs.view_as(confusion)
            for degrees, turns in QUARTER_TURNS.items() if rotations else ():
                if turns == 2 or images.shape[-1] == images.shape[-2]:
                    turned = module(torch.rot90(images, turns, (-2, -1))).argmax(1)
                    changed[degrees] = changed.get(degrees, 0) + int((turned != predicted).sum())
    return _figures(confusion, loss, classes, changed if rotations else None, predictions)


def _require_matching(logits: Tensor, labels: Tensor, classes: int) -> None:
    if logits.shape != (len(labels), classes):
        raise ValueError(f"the network gives logits {tuple(logits.shape)} where ({len(labels)}, {classes}) are needed")
    if not bool(logits.isfinite().all()):
        raise ValueError(f"the network gives logits that are not finite in {logits.dtype}: its weights cannot be used")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(f"labels from {int(labels.min())} to {int(labels.max())} do not fit {classes} classes")


def _figures(
    confusion: Tensor,
    loss: float,
    classes: tuple[str, ...],
    changed: dict[str, int] | None,
    predicted: list[int],
) -> Evaluation:
    images = int(confusion.sum())
    correct = int(confusion.diagonal().sum())
    rows = [
        ClassFigures(
            name,
            int(confusion[i].sum()),
            _ratio(confusion[i, i], confusion[i].sum()),
            _ratio(confusion[i, i], confusion[:, i].sum()),
        )
        for i, name in enumerate(classes)
    ]
    return Evaluation(
        images=images,
        error=(images - correct) / images,
        accuracy=correct / images,
        loss=loss / images,
        classes=tuple(rows),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        changed_by_rotation=changed,
        predicted=tuple(predicted),
    )


def _ratio(part: Tensor, whole: Tensor) -> float | None:
    return int(part) / int(whole) if int(whole) else None
